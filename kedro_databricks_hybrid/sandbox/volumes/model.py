"""The files in the volumes of Unity Catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core import checksum_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.layout import leads_up, resolve, segments

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.pages import Page
    from kedro_databricks_hybrid.sandbox.unity_catalog.model import UnityCatalog

MAX_PAGE = 1000
_VOLUME_DEPTH = 4  # /Volumes/catalog/schema/volume


class VolumeFiles:
    """Files and folders in existing volumes."""

    def __init__(self, catalog: UnityCatalog) -> None:
        self._catalog = catalog

    def disk_path(self, path: str, *, follow: bool = True) -> Path:
        """Return the path on disk of a file or folder, which need not exist; it is inside its volume."""
        volume, inside = _split(path)
        return resolve(self._catalog.volume_root(volume), inside, follow=follow)

    def file(self, path: str) -> Path:
        """Return the path on disk of an existing file."""
        disk_path = self.disk_path(path)
        if not disk_path.is_file():
            raise _not_found("file", path)
        return disk_path

    def folder(self, path: str) -> Path:
        """Return the path on disk of an existing folder."""
        disk_path = self.disk_path(path)
        if not disk_path.is_dir():
            raise _not_found("directory", path)
        return disk_path

    def check_writable(self, path: str, *, overwrite: bool) -> Path:
        """Create the folder of a file to be written and return its path on disk, or refuse."""
        if not _split(path)[1]:
            raise invalid(f"A file name is required after {path[:300]}.")
        disk_path = self.disk_path(path)
        if disk_path.is_dir():
            raise _conflict("The given path points to an existing directory.")
        if disk_path.exists() and not overwrite:
            raise _conflict("The file being created already exists.")
        _make(disk_path.parent)
        return disk_path

    def put_in_place(self, upload: Path, path: str, *, overwrite: bool) -> None:
        """Move a received file to `path`."""
        disk_path = self.check_writable(path, overwrite=overwrite)
        checksum_files.forget(disk_path)
        upload.replace(disk_path)

    def delete_file(self, path: str) -> None:
        """Delete a file, or a link to one."""
        disk_path = self.disk_path(path, follow=False)
        if not disk_path.is_symlink() and not disk_path.is_file():
            raise _not_found("file", path)
        disk_path.unlink(missing_ok=True)
        checksum_files.forget(disk_path)

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents."""
        _make(self.disk_path(path))

    def delete_folder(self, path: str) -> None:
        """Delete an empty folder."""
        folder = self.folder(path)
        if not _split(path)[1]:
            raise invalid("The root of a volume cannot be deleted.")
        if checksum_files.visible(folder):
            raise ApiError(
                400,
                "BAD_REQUEST",
                "The directory is not empty.",
                [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "FILES_API_DIRECTORY_IS_NOT_EMPTY",
                        "domain": "filesystem.databricks.com",
                    }
                ],
            )
        checksum_files.remove_empty(folder)

    def list_folder(self, path: str, page: Page) -> tuple[list[dict[str, Any]], int]:
        """Describe one page of a folder's entries; also return how many entries the folder has."""
        volume, inside = _split(path)
        root = self._catalog.volume_root(volume)
        children = checksum_files.visible(self.folder(path))
        found = []
        for child in page.of(children):
            if leads_up(root, (*inside, child.name)):
                continue
            shown = "/".join(("/Volumes", *volume, *inside, child.name))
            try:
                disk_path = self.disk_path(shown)
                status = disk_path.stat()
            except (ApiError, FileNotFoundError):
                continue  # a link that leads out or nowhere, or a file that was just deleted
            entry: dict[str, Any] = {"path": shown, "name": child.name, "is_directory": disk_path.is_dir()}
            if not entry["is_directory"]:
                entry["file_size"] = status.st_size
                entry["last_modified"] = int(status.st_mtime * 1000)
            found.append(entry)
        return found, len(children)


def _split(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the full name of a path's volume, in lower case as in Unity Catalog, and the other names."""
    names = segments(path)
    if len(names) < _VOLUME_DEPTH or names[0] != "Volumes":
        raise invalid("The path must begin with /Volumes/<catalog>/<schema>/<volume>.")
    return tuple(name.lower() for name in names[1:_VOLUME_DEPTH]), names[_VOLUME_DEPTH:]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _conflict("The given path points to an existing file.") from None


def _conflict(message: str) -> ApiError:
    return ApiError(409, "ALREADY_EXISTS", message)


def _not_found(kind: str, path: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", f"The {kind} being accessed is not found: {path[:300]}")
