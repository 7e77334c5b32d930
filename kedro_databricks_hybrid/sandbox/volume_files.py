"""What the Files API does to files in volumes; the paths are `/Volumes/<catalog>/<schema>/<volume>/...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox import side_files
from kedro_databricks_hybrid.sandbox.answers import ApiError, invalid
from kedro_databricks_hybrid.sandbox.paths import resolve, segments

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.unity_catalog import UnityCatalog

MAX_PAGE = 1000
_VOLUME_DEPTH = 4  # /Volumes/catalog/schema/volume


class VolumeFiles:
    """Files and folders in the volumes that exist.

    Not verified against a live workspace: that writing a file makes the folders above it.
    """

    def __init__(self, catalog: UnityCatalog) -> None:
        self._catalog = catalog

    def place(self, path: str, *, follow: bool = True) -> Path:
        """Return where a file or folder is or would be; nothing leads out of its volume."""
        volume, inside = _split(path)
        return resolve(self._catalog.volume_root(volume), inside, follow=follow)

    def file(self, path: str) -> Path:
        """Return an existing file."""
        place = self.place(path)
        if not place.is_file():
            raise _not_found("file", path)
        return place

    def folder(self, path: str) -> Path:
        """Return an existing folder."""
        place = self.place(path)
        if not place.is_dir():
            raise _not_found("directory", path)
        return place

    def check_writable(self, path: str, *, overwrite: bool) -> Path:
        """Return where a file may be written, its folder made, or refuse."""
        if not _split(path)[1]:
            raise invalid(f"A file name is needed after {path[:300]}.")
        place = self.place(path)
        if place.is_dir():
            raise _conflict("The given path points to an existing directory.")
        if place.exists() and not overwrite:
            raise _conflict("The file being created already exists.")
        _make(place.parent)
        return place

    def put_in_place(self, upload: Path, path: str, *, overwrite: bool) -> None:
        """Make a received file the file at `path`."""
        place = self.check_writable(path, overwrite=overwrite)
        side_files.forget(place)
        upload.replace(place)

    def delete_file(self, path: str) -> None:
        """Remove a file, or a link to one."""
        place = self.place(path, follow=False)
        if not place.is_symlink() and not place.is_file():
            raise _not_found("file", path)
        place.unlink(missing_ok=True)
        side_files.forget(place)

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents."""
        _make(self.place(path))

    def delete_folder(self, path: str) -> None:
        """Remove an empty folder."""
        folder = self.folder(path)
        if not _split(path)[1]:
            raise invalid("The root of a volume cannot be deleted.")
        if side_files.visible(folder):
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
        side_files.remove_empty(folder)

    def list_folder(self, path: str, start: int, size: int) -> tuple[list[dict[str, Any]], bool]:
        """Describe a page of what a folder holds, and say whether there is more."""
        volume, inside = _split(path)
        children = side_files.visible(self.folder(path))
        page = []
        for child in children[start : start + size]:
            shown = "/".join(("/Volumes", *volume, *inside, child.name))
            try:
                place = self.place(shown)
                status = place.stat()
            except (ApiError, FileNotFoundError):
                continue  # a link that leads out or nowhere, or a file that has just gone
            entry: dict[str, Any] = {"path": shown, "name": child.name, "is_directory": place.is_dir()}
            if not entry["is_directory"]:
                entry["file_size"] = status.st_size
                entry["last_modified"] = int(status.st_mtime * 1000)
            page.append(entry)
        return page, start + size < len(children)


def _split(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a path's volume (its names in lower case, as Unity Catalog keeps them) and the rest."""
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
