"""Unity Catalog's names: catalogs, schemas and volumes."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from kedro_databricks_hybrid.sandbox.answers import ApiError, invalid

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.layout import Layout
    from kedro_databricks_hybrid.sandbox.store import Store

_DOCUMENT = "unity_catalog"
_NAME = re.compile(r"[^\s./\\\x00-\x1f\x7f]{1,255}")
_KINDS = ("Catalog", "Schema", "Volume")

# What exists from the start, so that /Volumes/main/default/data can be used at once.
DEFAULT_VOLUME = ("main", "default", "data")


class UnityCatalog:
    """Catalogs, schemas and volumes, each known by its lower-case full name.

    A full name is a tuple of one name (catalog), two (schema) or three (volume).
    """

    def __init__(self, store: Store, layout: Layout, owner: str) -> None:
        self._store = store
        self._root = layout.volumes
        saved = store.load(_DOCUMENT)
        self._objects: dict[tuple[str, ...], dict[str, Any]] = {
            tuple(full_name.split(".")): details for full_name, details in saved.get("objects", {}).items()
        }
        if not saved:
            for length in (1, 2, 3):
                self._add(DEFAULT_VOLUME[:length], owner, "Made by the sandbox")
            store.save_now(_DOCUMENT, self._as_document())

    def get(self, full_name: tuple[str, ...]) -> dict[str, Any]:
        """Describe an object, or refuse because it or what it lies in is missing."""
        for length in range(1, len(full_name) + 1):
            if full_name[:length] not in self._objects:
                raise _no_such(full_name[:length])
        return _describe(full_name, self._objects[full_name])

    def below(self, parent: tuple[str, ...]) -> list[dict[str, Any]]:
        """Describe what lies directly in a catalog or schema, or every catalog."""
        if parent:
            self.get(parent)
        inside = [name for name in sorted(self._objects) if name[:-1] == parent]
        return [_describe(name, self._objects[name]) for name in inside]

    async def create(self, full_name: tuple[str, ...], owner: str, comment: str) -> dict[str, Any]:
        """Add an object to what exists already."""
        for name in full_name:
            if not _NAME.fullmatch(name) or name in {".", ".."}:
                raise invalid(f"{name[:100]!r} is not a valid name.")
        if len(full_name) > 1:
            self.get(full_name[:-1])
        if full_name in self._objects:
            kind = _KINDS[len(full_name) - 1]
            raise ApiError(400, _taken(kind), f"{kind} '{'.'.join(full_name)}' already exists")
        self._add(full_name, owner, comment)
        await self._save()
        return self.get(full_name)

    async def remove(self, full_name: tuple[str, ...], *, force: bool = False) -> None:
        """Remove an object, with what lies in it if forced; a volume's files go with it."""
        self.get(full_name)
        inside = [name for name in self._objects if name[: len(full_name)] == full_name]
        if len(inside) > 1 and not force:
            kind = _KINDS[len(full_name) - 1]
            raise ApiError(400, NOT_EMPTY, f"{kind} '{'.'.join(full_name)}' is not empty.")
        for name in inside:
            del self._objects[name]
        await self._save()
        await run_in_threadpool(shutil.rmtree, self._root.joinpath(*full_name), ignore_errors=True)

    def volume_root(self, full_name: tuple[str, ...]) -> Path:
        """Return the folder of a volume that exists."""
        self.get(full_name)
        folder = self._root.joinpath(*full_name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _add(self, full_name: tuple[str, ...], owner: str, comment: str) -> None:
        self._objects[full_name] = {
            "id": str(uuid.uuid4()),
            "owner": owner,
            "comment": comment,
            "created_at": int(time.time() * 1000),
        }
        self._root.joinpath(*full_name).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._as_document())

    def _as_document(self) -> dict[str, Any]:
        return {"objects": {".".join(name): details for name, details in self._objects.items()}}


# Not verified against a live workspace: the codes for a name that is taken, and for one that is not empty.
NOT_EMPTY = "INVALID_STATE"


def _taken(kind: str) -> str:
    return "RESOURCE_ALREADY_EXISTS" if kind == "Volume" else f"{kind.upper()}_ALREADY_EXISTS"


def _no_such(full_name: tuple[str, ...]) -> ApiError:
    kind = _KINDS[len(full_name) - 1]
    code = "RESOURCE_DOES_NOT_EXIST" if kind == "Volume" else f"{kind.upper()}_DOES_NOT_EXIST"
    return ApiError(404, code, f"{kind} '{'.'.join(full_name)[:300]}' does not exist.")


def _describe(full_name: tuple[str, ...], details: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "name": full_name[-1],
        "full_name": ".".join(full_name),
        "owner": details["owner"],
        "comment": details["comment"],
        "created_at": details["created_at"],
        "created_by": details["owner"],
    }
    if len(full_name) > 1:
        shown["catalog_name"] = full_name[0]
    else:
        shown["catalog_type"] = "MANAGED_CATALOG"
    if len(full_name) == 2:
        shown["schema_id"] = details["id"]
    if len(full_name) == 3:
        shown |= {
            "schema_name": full_name[1],
            "volume_id": details["id"],
            "volume_type": "MANAGED",
            "storage_location": f"sandbox://volumes/{details['id']}",
        }
    return shown
