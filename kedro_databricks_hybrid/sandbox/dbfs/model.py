"""What the DBFS API does to files; the paths are DBFS paths, `/x` or `dbfs:/x`."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core import checksum_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, exists, invalid, missing
from kedro_databricks_hybrid.sandbox.core.layout import resolve, segments

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_READ_BYTES = 1024 * 1024
DEFAULT_READ_BYTES = 512 * 1024

# Not verified against a live workspace: after how many files. The documentation says after about 45 s.
MAX_DELETED_FILES = 10_000
PARTIAL_DELETE = (
    "The requested operation has deleted {count} files. There are more files remaining. "
    "You must make another request to delete more."
)

# Not verified against a live workspace: status and code of the two, and the text of the second.
ROOT_DISABLED = "Public DBFS root is disabled. Access is denied on path: {path}"
# What the root shows where it is disabled, as `dbutils.fs.ls` does there.
MOUNTED = ("Volumes", "Workspace", "databricks-datasets")
VOLUMES_ELSEWHERE = "Path {path} is in a volume; volumes are served by the Files API."


class Dbfs:
    """Files below dbfs:/."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._root = sandbox.layout.dbfs
        for name in ("FileStore", "tmp"):
            (self._root / name).mkdir(mode=0o700, exist_ok=True)

    def place(self, path: str, *, follow: bool = True) -> Path:
        """Return where a DBFS path is or would be."""
        return resolve(self._root, self.names(path), follow=follow)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a DBFS path, or refuse what is below the root where that is disabled."""
        names = segments(path.removeprefix("dbfs:"))
        shown = "/" + "/".join(names)
        if names and not self._sandbox.public_dbfs_root:
            raise denied(ROOT_DISABLED.format(path=shown))
        if names[:1] == ("Volumes",):
            raise invalid(VOLUMES_ELSEWHERE.format(path=shown))
        return names

    def status(self, path: str) -> dict[str, Any]:
        """Describe one file or folder."""
        place = self.place(path)
        return _describe(self.names(path), _existing(place, path))

    def list_folder(self, path: str) -> list[dict[str, Any]]:
        """Describe what a folder holds, or the file itself."""
        place = _existing(self.place(path), path)
        names = self.names(path)
        if not place.is_dir():
            return [_describe(names, place)]
        if not self._sandbox.public_dbfs_root:
            return [_describe((name,), place) for name in MOUNTED]
        found = [self._child((*names, child.name)) for child in checksum_files.visible(place)]
        return [child for child in found if child is not None]

    def _child(self, names: tuple[str, ...]) -> dict[str, Any] | None:
        """Describe what a folder holds, but not a link that leads out or nowhere, or what has just gone."""
        try:
            return _describe(names, resolve(self._root, names))
        except (ApiError, FileNotFoundError):
            return None

    def mkdirs(self, path: str) -> None:
        """Make a folder and its parents."""
        _make_folder(self.place(path), path)

    def check_writable(self, path: str, *, overwrite: bool) -> Path:
        """Return where a file may be written, its folder made, or refuse."""
        if not self.names(path):
            raise invalid("A file name is needed.")
        place = self.place(path)
        if place.is_dir() or (place.exists() and not overwrite):
            raise exists(f"A file or directory already exists at the input path {_shown(path)}.")
        _make_folder(place.parent, path)
        return place

    def put_in_place(self, upload: Path, path: str, *, overwrite: bool) -> None:
        """Make a received file the file at `path`."""
        place = self.check_writable(path, overwrite=overwrite)
        checksum_files.forget(place)
        upload.replace(place)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return a part of a file, empty past its end."""
        if offset < 0 or length < 0:
            raise invalid("offset and length must not be negative.")
        if length > MAX_READ_BYTES:
            raise ApiError(400, "MAX_READ_SIZE_EXCEEDED", f"length must be at most {MAX_READ_BYTES} bytes.")
        place = _existing(self.place(path), path)
        if place.is_dir():
            raise invalid(f"Cannot read a directory: {_shown(path)}")
        with place.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def delete(self, path: str, *, recursive: bool) -> None:
        """Remove a file or folder; one that is not there is removed already."""
        if not self.names(path):
            raise invalid("The root folder cannot be deleted.")
        place = self.place(path, follow=False)
        if place.is_dir() and not place.is_symlink():
            if recursive:
                _delete_tree(place)
            elif checksum_files.visible(place):
                raise ApiError(
                    400, "IO_ERROR", "Directory is not empty. Use recursive delete or remove contents first."
                )
            else:
                checksum_files.remove_empty(place)
            return
        place.unlink(missing_ok=True)
        checksum_files.forget(place)

    def move(self, source_path: str, destination_path: str) -> None:
        """Move a file or a folder to a path that is free.

        Not verified against a live workspace: that an existing folder as the destination is refused,
        and that missing parents of the destination are made.
        """
        if not self.names(source_path):
            raise invalid("The root folder cannot be moved.")
        source = self.place(source_path, follow=False)
        destination = self.place(destination_path, follow=False)
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
    """Remove a folder, or as many of its files as one request may; the caller then asks again."""
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    some = list(itertools.islice(files, MAX_DELETED_FILES))
    if len(some) < MAX_DELETED_FILES:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for file in some:
        file.unlink(missing_ok=True)
    if next((True for _, _, names in os.walk(folder) if names), False):
        raise ApiError(503, "PARTIAL_DELETE", PARTIAL_DELETE.format(count=len(some)))
    shutil.rmtree(folder, ignore_errors=True)


def _existing(place: Path, path: str) -> Path:
    if not place.exists():
        raise missing(f"No file or directory exists on path {_shown(path)}.")
    return place


def _make_folder(place: Path, path: str) -> None:
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise exists(f"A file exists on a prefix of the input path {_shown(path)}.") from None


def _describe(names: tuple[str, ...], place: Path) -> dict[str, Any]:
    status = place.stat()
    is_dir = place.is_dir()
    return {
        "path": "/" + "/".join(names),
        "is_dir": is_dir,
        "file_size": 0 if is_dir else status.st_size,
        "modification_time": int(status.st_mtime * 1000),
    }


def _shown(path: str) -> str:
    return path[:300]
