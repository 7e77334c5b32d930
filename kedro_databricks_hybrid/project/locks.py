"""Export a lock file as lines for pip, with the tool that wrote it: uv, Poetry or PDM.

The tool runs in a copy of the project's declarations, so that nothing is written into the project, and a
commit is exported as it is, whatever the working tree has by now.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.requirements_file import Files, Listing
from kedro_databricks_hybrid.project.toml import table

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_DECLARATIONS = {
    *("pyproject.toml", "setup.py", "setup.cfg", ".python-version"),
    *("uv.lock", "uv.toml", "poetry.lock", "poetry.toml", "pdm.lock", "pdm.toml"),
}
_QUIET = {"PDM_CHECK_UPDATE": "0", "PDM_IGNORE_SAVED_PYTHON": "1", "PDM_USE_VENV": "0",
          "POETRY_VIRTUALENVS_CREATE": "false", "POETRY_NO_INTERACTION": "1", "NO_COLOR": "1"}  # fmt: skip
_NOISE = re.compile(r"(?i)^(warning|hint|using cpython|resolved \d+|info)\b")
_REASON = 400  # characters
_INDEX = re.compile(r"--(extra-)?index-url\b")


class Copied(Files, Protocol):
    """The files of a project, some of which can be copied to a temporary folder."""

    @property
    def folders_above(self) -> list[str]:
        """The folders from the project's up to the top of the repository."""

    def copied(self, is_wanted: Callable[[str], bool]) -> AbstractContextManager[tuple[Path, Path]]:
        """Copy files; yield the copies' top folder and the project's in it."""


@dataclass(frozen=True)
class Tool:
    """A tool that locks dependencies.

    Args:
        name: Its program.
        lock: The name of its lock file.
        export: The command that prints the locked dependencies, without those for development.
        check: The command that fails if the lock file is out of date; empty if the export does.
        install: The command that installs what the export needs.
        without_hashes: The option of the export without hashes, for a tool that fails where one is missing.
    """

    name: str
    lock: str
    export: tuple[str, ...]
    check: tuple[str, ...] = ()
    install: str = ""
    without_hashes: str = ""

    @property
    def update(self) -> str:
        """What brings the lock file up to date, as a hint."""
        return f"Run `{self.name} lock`, commit {self.lock}, then `kedro databricks push`."

    def add(self, distribution: str) -> str:
        """Return the command that adds a dependency."""
        return f"{self.name} add {distribution}"


UV = Tool(
    "uv",
    "uv.lock",
    ("export", "--frozen", "--no-dev", "--no-emit-project", "--emit-index-url", "--emit-find-links",
     "--no-header", "--no-annotate"),
    ("lock", "--check"),
    "pip install uv",
)  # fmt: skip
POETRY = Tool(
    "poetry",
    "poetry.lock",
    ("export", "--format=requirements.txt"),
    install="pip install poetry poetry-plugin-export",
)
PDM = Tool(
    "pdm",
    "pdm.lock",
    ("export", "--format=requirements", "--prod"),
    ("lock", "--check"),
    "pip install pdm",
    "--no-hashes",
)
TOOLS = (UV, POETRY, PDM)


def find(files: Copied) -> tuple[Tool, str] | None:
    """Return the tool and the path of the lock file that a project has; None if it has none.

    The lock file of a uv workspace is in a folder above the project's.
    """
    for tool in TOOLS:
        if files.read(tool.lock) is not None:
            return tool, tool.lock
    for folder in files.folders_above:
        if files.read(f"{folder}/{UV.lock}") is not None:
            return UV, f"{folder}/{UV.lock}"
    return None


def export(files: Copied, tool: Tool, lock: str) -> str | None:
    """Return a lock file as the text of a requirements file, with all of its packages.

    Its paths are relative to the folder of the lock file.

    Args:
        files: The files of the project.
        tool: The tool that wrote the lock file.
        lock: The path of the lock file, relative to the project's folder.

    Returns:
        The text; None if the project is no member of the workspace that has the lock file.

    Raises:
        SettingsError: The tool is missing or fails, or the lock file is out of date.
    """
    locked = files.read(lock) or b""
    archives = requirements_file.ARCHIVES

    def is_wanted(name: str) -> bool:
        return name in _DECLARATIONS or (name.endswith(archives) and name.encode() in locked)

    with files.copied(is_wanted) as (top, project):
        if tool.check:
            checked = _run(tool, tool.check, project)
            if lock != tool.lock and b"Unable to find lockfile" in checked.stderr:
                return None
            _require(tool, checked)
        exported = _run(tool, tool.export, project)
        if exported.returncode != 0 and tool.without_hashes:
            exported = _run(tool, (*tool.export, tool.without_hashes), project)
        _require(tool, exported)
        text = _relative(exported.stdout.decode("utf-8", "replace"), top, project / posixpath.dirname(lock))
    return text if tool is not UV or _has_own_index(files, lock) else _without_index(text)


def refuse_confusion(tool: Tool, listing: Listing) -> None:
    """Refuse an export from which pip could take a package of the same name from another index.

    Raises:
        SettingsError: Several indexes are named, and a package has neither a hash nor an address.
    """
    indexes = [each.raw for each in listing.lines if _INDEX.match(each.raw) and not each.path]
    loose = [
        each.requirement.name
        for each in listing.lines
        if each.requirement and not each.requirement.address and not each.has_hash
    ]
    if loose and any(each.startswith("--extra-index-url") for each in indexes):
        raise SettingsError(
            f"{tool.lock} names several indexes but no hash of {', '.join(loose[:5])}, so pip could take a "
            "package of that name from another index.",
            hint=f"Lock it with hashes (`{tool.name} lock`), or name its wheel by an address.",
        )


def _run(tool: Tool, arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[bytes]:
    beside = Path(sys.executable).with_name(tool.name)  # of an environment that is not activated
    program = shutil.which(tool.name) or (str(beside) if beside.exists() else None)
    if program is None:
        raise SettingsError(
            f"{tool.lock} can only be read by {tool.name}, which is not installed.",
            hint=f"Install it: `{tool.install}`.",
        )
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def _require(tool: Tool, done: subprocess.CompletedProcess[bytes]) -> None:
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stderr or done.stdout).decode("utf-8", "replace").splitlines()]
    said = " ".join(line for line in lines if line and not _NOISE.match(line))
    if "command export does not exist" in said:
        raise SettingsError(
            f"{tool.name} cannot export {tool.lock}: its plugin is missing.",
            hint=f"Install it: `{tool.install}`.",
        )
    reason = re.split(r"(?i)\berror:|\[\w+\]:", said, maxsplit=1)[-1].strip()[:_REASON] or "it gave no reason"
    raise SettingsError(f"{tool.name} cannot export {tool.lock}: {reason.rstrip('.')}.", hint=tool.update)


def _relative(text: str, top: Path, base: Path) -> str:
    """Return an export with paths of the copies relative to `base`."""

    def relative(match: re.Match[str]) -> str:
        return "file:" + posixpath.relpath((top.as_posix() + match[1]), base.resolve().as_posix())

    found = re.sub(rf"{re.escape(top.as_uri())}(/[^\s;#\[\]]*)", relative, text)
    return requirements_file.with_own_folder(found)


def _has_own_index(files: Files, lock: str) -> bool:
    """Tell whether a uv project names the index that replaces the default one."""
    folder = posixpath.dirname(lock)
    own = table(files, posixpath.join(folder, "uv.toml"))
    uv = own or table(files, posixpath.join(folder, "pyproject.toml")).get("tool", {}).get("uv", {})
    return "index-url" in uv or any(each.get("default") for each in uv.get("index", []))


def _without_index(text: str) -> str:
    """Leave out the index that uv always names: pip's settings on the cluster say which is the default."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("--index-url"))
