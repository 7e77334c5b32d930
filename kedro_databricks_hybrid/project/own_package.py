"""Build this package's wheel and upload it, if it was installed from a checkout or a wheel, not an index.

The wheel is built from the installed files, without the sources or a network. Its version contains a hash of
its content, so that pip replaces another build of the same release.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.workspace_files import put_once
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDER = ".kedro-hybrid"
_EXCLUDED = {"__pycache__", "starter"}  # no project is created on a cluster
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip file can contain
_WHEEL = "Wheel-Version: 1.0\nGenerator: kedro-databricks-hybrid\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def path_for(workspace: Workspace) -> PurePosixPath | None:
    """Return the wheel's path in the user's folder; None if this package was installed from an index."""
    built = version()
    if built is None:
        return None
    return folder(workspace) / f"{_PACKAGE.name}-{built}-py3-none-any.whl"


def folder(workspace: Workspace) -> PurePosixPath:
    """Return the folder of this package's files in the user's folder."""
    return PurePosixPath("/Workspace/Users", workspace.user, _FOLDER)


def put(workspace: Workspace, path: PurePosixPath) -> None:
    """Upload the wheel to the path that `path_for` returned, unless it exists.

    Raises:
        WorkspaceError: Databricks refused it, or it does not exist afterwards.
    """
    put_once(workspace, path, wheel)


def wheel() -> bytes:
    """Return the content of the wheel; the same files result in the same bytes."""
    built = str(version())
    info = f"{_PACKAGE.name}-{built}.dist-info"
    files = {f"{_PACKAGE.name}/{name}": content for name, content in _files().items()}
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (_installed().read_text(name) or "").encode()
    before, _, after = files[f"{info}/METADATA"].partition(b"\nVersion: ")
    files[f"{info}/METADATA"] = b"\n".join([before, f"Version: {built}".encode(), after.partition(b"\n")[2]])
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def sha256() -> str:
    """Return the SHA-256 of the wheel in hexadecimal digits, for pip to check."""
    return hashlib.sha256(wheel()).hexdigest()


@cache
def version() -> str | None:
    """Return the release and a hash of the files; None if this package was installed from an index."""
    if _installed().read_text("direct_url.json") is None:  # installers write it, except for an index
        return None
    digest = hashlib.sha256()
    for name, content in _files().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"{metadata.version(DISTRIBUTION).partition('+')[0]}+{digest.hexdigest()[:12]}"


def _installed() -> metadata.Distribution:
    return metadata.distribution(DISTRIBUTION)


def _files() -> dict[str, bytes]:
    """Return the content of the package's files by their paths in it."""
    found = {path.relative_to(_PACKAGE): path for path in sorted(_PACKAGE.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path.read_bytes() for name, path in found.items() if _EXCLUDED.isdisjoint(name.parts)
    }


def _record(files: dict[str, bytes], name: str) -> bytes:
    def digest(content: bytes) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

    lines = [f"{each},sha256={digest(content)},{len(content)}" for each, content in files.items()]
    return "\n".join([*lines, f"{name},,", ""]).encode()
