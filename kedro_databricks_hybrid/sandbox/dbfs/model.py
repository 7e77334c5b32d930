"""Files below dbfs:/; paths are DBFS paths, `/x` or `dbfs:/x`."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core import checksum_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, exists, invalid, missing
from kedro_databricks_hybrid.sandbox.core.guesses import MAX_DELETED_FILES, REFUSED_PATH
from kedro_databricks_hybrid.sandbox.core.layout import leads_up, resolve, segments
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_READ_BYTES = 1024 * 1024
DEFAULT_READ_BYTES = 512 * 1024

PARTIAL_DELETE = (
    "The requested operation has deleted {count} files. There are more files remaining. "
    "You must make another request to delete more."
)

ROOT_DISABLED = "Public DBFS root is disabled. Access is denied on path: {path}"
# The entries of a disabled root, as `dbutils.fs.ls` lists them.
MOUNTED = ("Volumes", "Workspace", "databricks-datasets")
# As on Azure, without the storage account's address.
NOT_EMPTY = (
    'Operation failed: "The recursive query parameter value must be true to delete a non-empty directory.", '
    "409, DELETE"
)
VOLUMES_ELSEWHERE = "No operations allowed on this path."


class Dbfs:
    """The DBFS root of the workspace."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._root = sandbox.layout.dbfs
        for name in ("FileStore", "tmp"):
            (self._root / name).mkdir(mode=0o700, exist_ok=True)

    def disk_path(self, path: str, *, follow: bool = True) -> Path:
        """Return the path on disk of a DBFS path, which need not exist."""
        return resolve(self._root, self.names(path), follow=follow)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a DBFS path; if the root is disabled, refuse every path but the root."""
        names = segments(path.removeprefix("dbfs:"))
        shown = "/" + "/".join(names)
        if names and not self._sandbox.public_dbfs_root:
            raise ApiError(*REFUSED_PATH, ROOT_DISABLED.format(path=shown))
        if names[:1] == ("Volumes",):
            raise ApiError(*REFUSED_PATH, VOLUMES_ELSEWHERE)
        return names

    def status(self, path: str) -> dict[str, Any]:
        """Describe one file or folder."""
        disk_path = self.disk_path(path)
        return _describe(self.names(path), _existing(disk_path, path))

    def list_folder(self, path: str) -> list[dict[str, Any]]:
        """Describe the entries of a folder, or the file itself."""
        disk_path = _existing(self.disk_path(path), path)
        names = self.names(path)
        if not disk_path.is_dir():
            return [_describe(names, disk_path)]
        if not self._sandbox.public_dbfs_root:
            return [_describe((name,), disk_path) for name in MOUNTED]
        found = [self._child((*names, child.name)) for child in checksum_files.visible(disk_path)]
        return [child for child in found if child is not None]

    def _child(self, names: tuple[str, ...]) -> dict[str, Any] | None:
        """Describe an entry; None for a link that leads out, up or nowhere, or an entry just deleted."""
        if leads_up(self._root, names):
            return None
        try:
            return _describe(names, resolve(self._root, names))
        except (ApiError, FileNotFoundError):
            return None

    def mkdirs(self, path: str) -> None:
        """Create a folder and its parents."""
        disk_path = self.disk_path(path)
        file = next((one for one in (disk_path, *disk_path.parents) if one.is_file()), None)
        if file is not None:
            named = f"/{file.relative_to(resolve(self._root, ()))}"
            raise exists(f"Cannot create directory {_shown(path)} because {named} is an existing file.")
        _make_folder(disk_path, path)

    def check_writable(self, path: str, *, overwrite: bool) -> Path:
        """Create the folder of a file to be written and return its path on disk, or refuse."""
        if not self.names(path):
            raise invalid("A file name is required.")
        disk_path = self.disk_path(path)
        if disk_path.is_dir() or (disk_path.exists() and not overwrite):
            raise exists(f"A file or directory already exists at the input path {_shown(path)}.")
        _make_folder(disk_path.parent, path)
        return disk_path

    def put_in_place(self, upload: Path, path: str, *, overwrite: bool) -> None:
        """Move a received file to `path`."""
        disk_path = self.check_writable(path, overwrite=overwrite)
        checksum_files.forget(disk_path)
        upload.replace(disk_path)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return a part of a file, empty past its end."""
        if offset < 0 or length < 0:
            raise invalid("offset and length must not be negative.")
        if length > MAX_READ_BYTES:
            raise ApiError(400, "MAX_READ_SIZE_EXCEEDED", f"length must be at most {MAX_READ_BYTES} bytes.")
        disk_path = _existing(self.disk_path(path), path)
        if disk_path.is_dir():
            raise invalid(f"Cannot read a directory: {_shown(path)}")
        with disk_path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def delete(self, path: str, *, recursive: bool) -> None:
        """Delete a file or folder; a missing one counts as deleted."""
        if not self.names(path):
            raise invalid("The root folder cannot be deleted.")
        disk_path = self.disk_path(path, follow=False)
        if disk_path.is_dir() and not disk_path.is_symlink():
            if recursive:
                _delete_tree(disk_path)
            elif checksum_files.visible(disk_path):
                raise ApiError(400, "IO_ERROR", NOT_EMPTY)
            else:
                checksum_files.remove_empty(disk_path)
            return
        disk_path.unlink(missing_ok=True)
        checksum_files.forget(disk_path)

    def move(self, source_path: str, destination_path: str) -> None:
        """Move a file or a folder to a path that is free, and create the folders above it."""
        if not self.names(source_path):
            raise invalid("The root folder cannot be moved.")
        source = self.disk_path(source_path, follow=False)
        destination = self.disk_path(destination_path, follow=False)
        if not os.path.lexists(source):
            raise missing(f"No file or directory exists on path {_shown(source_path)}.")
        if destination == source or source in destination.parents:
            raise invalid("A directory cannot be moved into itself.")
        if os.path.lexists(destination):
            raise exists(
                f"A file or directory already exists at the destination path {_shown(destination_path)}."
            )
        _make_folder(destination.parent, destination_path)
        checksum_files.forget(source)
        checksum_files.forget(destination)
        source.rename(destination)


def _delete_tree(folder: Path) -> None:
    """Delete a folder, or as many of its files as one request may; the caller then repeats the request."""
    some = list(itertools.islice(_files_below(folder), MAX_DELETED_FILES))
    if len(some) < MAX_DELETED_FILES:
        remove_tree(folder)
        return
    for file in some:
        file.unlink(missing_ok=True)
    if next(_files_below(folder), None) is not None:
        raise ApiError(503, "PARTIAL_DELETE", PARTIAL_DELETE.format(count=len(some)))
    remove_tree(folder)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without recursion, and except where paths are too long."""
    waiting = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _existing(disk_path: Path, path: str) -> Path:
    if not disk_path.exists():
        raise missing(f"No file or directory exists on path {_shown(path)}.")
    return disk_path


def _make_folder(disk_path: Path, path: str) -> None:
    try:
        disk_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise exists(f"A file exists on a prefix of the input path {_shown(path)}.") from None


def _describe(names: tuple[str, ...], disk_path: Path) -> dict[str, Any]:
    status = disk_path.stat()
    is_dir = disk_path.is_dir()
    return {
        "path": "/" + "/".join(names),
        "is_dir": is_dir,
        "file_size": 0 if is_dir else status.st_size,
        "modification_time": int(status.st_mtime) * 1000,  # DBFS has whole seconds
    }


def _shown(path: str) -> str:
    return path[:300]
