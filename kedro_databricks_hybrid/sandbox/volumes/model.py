"""The catalogs, schemas and volumes of Unity Catalog, and the files in volumes."""

from __future__ import annotations

import re
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from starlette.concurrency import run_in_threadpool

from kedro_databricks_hybrid.sandbox.core import checksum_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.layout import leads_up, resolve, segments
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import passing, stored

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.pages import Page
    from kedro_databricks_hybrid.sandbox.core.store import Store

MAX_PAGE = 1000
_VOLUME_DEPTH = 4  # /Volumes/catalog/schema/volume
_DOCUMENT = "unity_catalog"
_NAME = re.compile(r"[^\s./\\\x00-\x1f\x7f]{1,255}")
_KINDS = ("Catalog", "Schema", "Volume")


class VolumeFiles:
    """Files and folders in existing volumes.

    Not verified against a live workspace: that writing a file creates the folders above it.
    """

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


@stored
@dataclass(frozen=True)
class _Object:
    """A catalog, a schema or a volume; `created_at` is in milliseconds since the epoch."""

    id: str
    owner: str
    comment: str
    created_at: int


def _check_full_name(name: str) -> None:
    names = name.split(".")
    if len(names) > len(_KINDS) or not all(map(_NAME.fullmatch, names)):
        raise invalid("it is not the full name of a catalog, schema or volume")


@stored
@dataclass(frozen=True)
class _Saved:
    objects: dict[Annotated[str, passing(_check_full_name)], _Object] | None = None


class UnityCatalog:
    """Catalogs, schemas and volumes by their full names in lower case.

    A full name is a tuple of one name (catalog), two (schema) or three (volume).

    Args:
        store: The store of their records.
        layout: The folders of the files of volumes.
        owner: The owner of the first objects.
        first: The full names of the objects in a new workspace, parents first.
    """

    def __init__(self, store: Store, layout: Layout, owner: str, first: tuple[tuple[str, ...], ...]) -> None:
        self._store = store
        self._root = layout.volumes
        saved = store.load(_DOCUMENT, _Saved)
        self._objects = {tuple(name.split(".")): each for name, each in (saved.objects or {}).items()}
        if saved.objects is None:
            self.provide(first, owner)

    def provide(self, full_names: tuple[tuple[str, ...], ...], owner: str) -> None:
        """Add the missing ones of these objects; parents come first."""
        for full_name in full_names:
            if full_name not in self._objects:
                self._add(full_name, owner, "Made by the sandbox")
        self._store.save_now(_DOCUMENT, self._as_document())

    def get(self, full_name: tuple[str, ...]) -> dict[str, Any]:
        """Describe an object; refuse if it or one of its parents is missing."""
        for length in range(1, len(full_name) + 1):
            if full_name[:length] not in self._objects:
                raise _no_such(full_name[:length])
        return _describe(full_name, self._objects[full_name])

    def below(self, parent: tuple[str, ...]) -> list[dict[str, Any]]:
        """Describe the children of a catalog or schema, or every catalog."""
        if parent:
            self.get(parent)
        inside = [name for name in sorted(self._objects) if name[:-1] == parent]
        return [_describe(name, self._objects[name]) for name in inside]

    async def create(self, full_name: tuple[str, ...], owner: str, comment: str) -> dict[str, Any]:
        """Create an object in its parent, which must exist."""
        for name in full_name:
            if not _NAME.fullmatch(name) or segments(f"/{name}") != (name,):
                raise invalid(f"{name[:100]!r} is not a valid name.")
        if len(full_name) > 1:
            self.get(full_name[:-1])
        if full_name in self._objects:
            kind = _KINDS[len(full_name) - 1]
            raise ApiError(400, _taken(kind), f"{kind} '{'.'.join(full_name)}' already exists")
        self._add(full_name, owner, comment)
        try:
            await self._save()
        except OSError:
            del self._objects[full_name]
            raise
        return self.get(full_name)

    async def remove(self, full_name: tuple[str, ...], *, force: bool = False) -> None:
        """Delete an object with the files of its volumes; with `force` also one that has children."""
        self.get(full_name)
        inside = [name for name in self._objects if name[: len(full_name)] == full_name]
        if len(inside) > 1 and not force:
            kind = _KINDS[len(full_name) - 1]
            raise ApiError(400, NOT_EMPTY, f"{kind} '{'.'.join(full_name)}' is not empty.")
        for name in inside:
            del self._objects[name]
        await self._save()
        await run_in_threadpool(remove_tree, self._root.joinpath(*full_name))

    def volume_root(self, full_name: tuple[str, ...]) -> Path:
        """Return the folder on disk of an existing volume."""
        self.get(full_name)
        folder = self._root.joinpath(*full_name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _add(self, full_name: tuple[str, ...], owner: str, comment: str) -> None:
        # Before the record: a disk may refuse the name.
        self._root.joinpath(*full_name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._objects[full_name] = _Object(str(uuid.uuid4()), owner, comment, now())

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._as_document())

    def _as_document(self) -> dict[str, Any]:
        return {"objects": {".".join(name): asdict(each) for name, each in self._objects.items()}}


# Not verified against a live workspace: the codes for a name that is taken, and for one that is not empty.
NOT_EMPTY = "INVALID_STATE"


def _taken(kind: str) -> str:
    return "RESOURCE_ALREADY_EXISTS" if kind == "Volume" else f"{kind.upper()}_ALREADY_EXISTS"


def _no_such(full_name: tuple[str, ...]) -> ApiError:
    kind = _KINDS[len(full_name) - 1]
    code = "RESOURCE_DOES_NOT_EXIST" if kind == "Volume" else f"{kind.upper()}_DOES_NOT_EXIST"
    return ApiError(404, code, f"{kind} '{'.'.join(full_name)[:300]}' does not exist.")


def _describe(full_name: tuple[str, ...], details: _Object) -> dict[str, Any]:
    shown = {
        "name": full_name[-1],
        "full_name": ".".join(full_name),
        "owner": details.owner,
        "comment": details.comment,
        "created_at": details.created_at,
        "created_by": details.owner,
    }
    if len(full_name) > 1:
        shown["catalog_name"] = full_name[0]
    else:
        shown["catalog_type"] = "MANAGED_CATALOG"
    if len(full_name) == 2:
        shown["schema_id"] = details.id
    if len(full_name) == 3:
        shown |= {
            "schema_name": full_name[1],
            "volume_id": details.id,
            "volume_type": "MANAGED",
            "storage_location": f"sandbox://volumes/{details.id}",
        }
    return shown
