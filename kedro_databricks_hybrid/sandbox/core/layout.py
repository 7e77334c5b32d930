"""Where a sandbox keeps its files, and how a path in a request is resolved below one of its folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kedro_databricks_hybrid.sandbox.core.errors import denied, invalid

_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3072
_MAX_NAMES = 200


@dataclass(frozen=True)
class Layout:
    """The folders and files below one sandbox home; only their owner can read them."""

    home: Path

    @property
    def roots(self) -> Path:
        """The folder of the roots below, which clusters see at the top of their file system."""
        return self.home / "roots"

    @property
    def workspace(self) -> Path:
        """The folder behind /Workspace."""
        return self.roots / "Workspace"

    @property
    def dbfs(self) -> Path:
        """The folder behind dbfs:/ and /dbfs."""
        return self.roots / "dbfs"

    @property
    def volumes(self) -> Path:
        """The folder behind /Volumes."""
        return self.roots / "Volumes"

    @property
    def git(self) -> Path:
        """The repositories of Git folders; as on Databricks, a Git folder itself has no .git."""
        return self.home / "git"

    @property
    def kernels(self) -> Path:
        """A folder for each notebook process, with its connection file and its log."""
        return self.home / "kernels"

    @property
    def libraries(self) -> Path:
        """The packages installed on clusters."""
        return self.home / "libraries"

    @property
    def environments(self) -> Path:
        """The Python environments of serverless tasks that are kept for later ones."""
        return self.home / "environments"

    @property
    def state(self) -> Path:
        """The JSON documents and tables that survive a restart."""
        return self.home / "state"

    @property
    def scratch(self) -> Path:
        """Unfinished uploads and clones; on the same disk as the roots, emptied at every start."""
        return self.home / "scratch"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    def make(self) -> None:
        """Create missing folders, readable by their owner only."""
        for folder in (
            self.home,
            self.roots,
            self.workspace,
            self.dbfs,
            self.volumes,
            self.git,
            self.kernels,
            self.libraries,
            self.environments,
            self.state,
            self.scratch,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def segments(path: str) -> tuple[str, ...]:
    """Split an absolute path into its names; repeated and trailing slashes are ignored.

    Raises:
        ApiError: 400 for a relative path, `.` or `..`, and names that no file can have.
    """
    if not path.startswith("/"):
        raise invalid(f"Path ({_shown(path)}) must be absolute")
    names = tuple(name for name in path.split("/") if name)
    for name in names:
        _check_name(name, path)
    if len(path.encode(errors="replace")) > _MAX_PATH_BYTES:
        raise invalid(f"Path ({_shown(path)}) is too long")
    if len(names) > _MAX_NAMES:
        raise invalid(f"Path ({_shown(path)}) has more than {_MAX_NAMES} names")
    return names


def resolve(root: Path, names: tuple[str, ...], *, follow: bool = True) -> Path:
    """Return the path on disk of `names` below `root`, with links resolved.

    Args:
        root: The folder that must not be left.
        names: What `segments` returned.
        follow: Whether to resolve the last name too, if it is a link; not to delete the link itself.

    Raises:
        ApiError: 403 for a link that leads out of the root.
    """
    real_root = Path(os.path.realpath(root))
    if not names:
        return real_root
    followed = names if follow else names[:-1]
    resolved = Path(os.path.realpath(real_root.joinpath(*followed))).joinpath(*names[len(followed) :])
    if not resolved.is_relative_to(real_root):
        raise denied(f"Path ({_shown('/' + '/'.join(names))}) leads out of the workspace")
    return resolved


def leads_up(root: Path, names: tuple[str, ...]) -> bool:
    """Whether the last name is a link to a folder that the path goes through, or to one above such a folder.

    Listings leave these links out: a walk that follows them would not end.
    """
    path = root.joinpath(*names)
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    through = (root.joinpath(*names[:length]) for length in range(len(names)))
    return any(Path(os.path.realpath(folder)).is_relative_to(target) for folder in through)


def _check_name(name: str, path: str) -> None:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        msg = f"Path ({_shown(path)}) is not valid Unicode"
        raise invalid(msg) from error
    windows = os.name == "nt" and any(character in name for character in '\\:*?"<>|')
    if name in {".", ".."} or "\0" in name or windows:
        raise invalid(f"Path ({_shown(path)}) contains an invalid name")
    if len(encoded) > _MAX_NAME_BYTES:
        raise invalid(f"Path ({_shown(path)}) contains a name that is too long")


def _shown(path: str) -> str:
    """Return the path in a form that fits in an error message."""
    return path[:200].encode(errors="replace").decode()


def names_of(path: str) -> tuple[str, ...]:
    """Return the names in a workspace path; `/Workspace/x` and `/x` are the same."""
    names = segments(path)
    return names[1:] if names[:1] == ("Workspace",) else names


def spelled_as(asked: str, path: str) -> str:
    """Return a workspace path as a client wrote it: with /Workspace if that client's path begins with it."""
    return f"/Workspace{path}".rstrip("/") if f"{asked}/".startswith("/Workspace/") else path
