"""The catalogs, schemas and volumes of Unity Catalog; the files in volumes are those of the Files API."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.layout import segments
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import passing, stored

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "unity_catalog"
_NAME = re.compile(r"[^\s./\\\x00-\x1f\x7f]{1,255}")
_KINDS = ("Catalog", "Schema", "Volume", "Table")
_VOLUME = 3  # names
_BAD_NAME = (
    'Invalid input: RPC Create{0} Field managedcatalog.{0}Info.name: name "{1}" is not a valid name. '
    "Valid names cannot contain spaces, periods, forward slashes, or control characters."
)

FullName = tuple[str, ...]
"""One name (catalog), two (schema) or three (volume), in lower case."""


class _Object(BaseModel):
    """A saved catalog, schema or volume; its other fields are shown as they were given."""

    model_config = ConfigDict(extra="allow")

    id: str
    owner: str
    created_at: int
    grants: dict[str, list[str]] = Field(default_factory=dict)


def _check_full_name(name: str) -> None:
    names = name.split(".")
    if len(names) > _VOLUME or not all(map(_NAME.fullmatch, names)):
        raise invalid("it is not the full name of a catalog, schema or volume")


@stored
@dataclass(frozen=True)
class _Saved:
    objects: dict[Annotated[str, passing(_check_full_name)], _Object] | None = None


class UnityCatalog:
    """Catalogs, schemas and volumes by their full names.

    Args:
        store: The store of their records.
        layout: The folders of the files of volumes.
        metastore_id: The id of the metastore that holds them.
        owner: The owner of the first objects.
        first: The full names of the objects in a new workspace, parents first.
    """

    def __init__(
        self, store: Store, layout: Layout, metastore_id: str, owner: str, first: tuple[FullName, ...]
    ) -> None:
        self._store = store
        self._root = layout.volumes
        self._metastore_id = metastore_id
        saved = store.load(_DOCUMENT, _Saved)
        self._objects = {
            tuple(name.split(".")): each.model_dump(exclude_unset=True)
            for name, each in (saved.objects or {}).items()
        }
        if saved.objects is None:
            self.provide(first, owner)

    def provide(self, full_names: tuple[FullName, ...], owner: str) -> None:
        """Add the missing ones of these objects; parents come first."""
        for full_name in full_names:
            if full_name not in self._objects:
                self._add(full_name, owner, {"comment": "Made by the sandbox"})
        self._store.save_now(_DOCUMENT, self._as_document())

    def get(self, full_name: FullName) -> dict[str, Any]:
        """Describe an object; refuse if it or one of its parents is missing."""
        for length in range(1, len(full_name) + 1):
            if full_name[:length] not in self._objects:
                raise no_such(_KINDS[length - 1], full_name[:length])
        return self._describe(full_name)

    def below(self, parent: FullName) -> list[dict[str, Any]]:
        """Describe the children of a catalog or schema, or every catalog."""
        if parent:
            self.get(parent)
        return [self._describe(name) for name in sorted(self._objects) if name[:-1] == parent]

    async def create(self, full_name: FullName, owner: str, given: dict[str, Any]) -> dict[str, Any]:
        """Create an object in its parent, which must exist.

        Args:
            full_name: Its full name.
            owner: Its owner.
            given: Other fields of it, which are shown as they are.
        """
        self._check_free(full_name)
        self._add(full_name, owner, given)
        try:
            await self._save()
        except OSError:
            del self._objects[full_name]
            raise
        return self.get(full_name)

    async def update(
        self, full_name: FullName, user: str, changes: dict[str, Any], new_name: str = ""
    ) -> dict[str, Any]:
        """Change fields of an object, and rename it with all that is in it."""
        self.get(full_name)
        renamed = (*full_name[:-1], new_name) if new_name else full_name
        if renamed != full_name:
            self._check_free(renamed)
            old, new = self._root.joinpath(*full_name), self._root.joinpath(*renamed)
            await run_in_threadpool(old.rename, new)
            for name in self._inside(full_name):
                self._objects[renamed + name[len(full_name) :]] = self._objects.pop(name)
        self._objects[renamed] |= {**changes, "updated_at": now(), "updated_by": user}
        await self._save()
        return self.get(renamed)

    async def remove(self, full_name: FullName, *, force: bool = False) -> None:
        """Delete an object with the files of its volumes; with `force` also one that has children."""
        self.get(full_name)
        inside = self._inside(full_name)
        if len(inside) > 1 and not force:
            kind = _KINDS[len(full_name) - 1]
            raise ApiError(400, f"{kind.upper()}_NOT_EMPTY", self._not_empty(kind, full_name))
        for name in inside:
            del self._objects[name]
        await self._save()
        await run_in_threadpool(remove_tree, self._root.joinpath(*full_name))

    def privileges(self, full_name: FullName) -> dict[str, list[str]]:
        """Return the privileges that are granted on an object, by principal."""
        self.get(full_name)
        granted: dict[str, list[str]] = self._objects[full_name].get("grants", {})
        return dict(granted)

    async def grant(self, full_name: FullName, privileges: dict[str, list[str]]) -> None:
        """Set the privileges that are granted on an object, by principal."""
        self._objects[full_name]["grants"] = privileges
        await self._save()

    def volume_root(self, full_name: FullName) -> Path:
        """Return the folder on disk of an existing volume."""
        self.get(full_name)
        folder = self._root.joinpath(*full_name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _check_free(self, full_name: FullName) -> None:
        """Refuse an invalid or taken name, and a parent that is missing."""
        kind = _KINDS[len(full_name) - 1]
        if not _NAME.fullmatch(full_name[-1]):
            raise invalid(_BAD_NAME.format(kind, full_name[-1][:100]))
        segments(f"/{full_name[-1]}")
        if len(full_name) > 1:
            self.get(full_name[:-1])
        if full_name in self._objects:
            code = "RESOURCE_ALREADY_EXISTS" if kind == "Volume" else f"{kind.upper()}_ALREADY_EXISTS"
            raise ApiError(400, code, f"{kind} '{'.'.join(full_name)}' already exists")

    def _inside(self, full_name: FullName) -> list[FullName]:
        """Return an object and all that is in it."""
        return [name for name in self._objects if name[: len(full_name)] == full_name]

    def _not_empty(self, kind: str, full_name: FullName) -> str:
        said = f"{kind} '{'.'.join(full_name)}' is not empty."
        if kind != "Schema":
            return said
        volumes = len(self._inside(full_name)) - 1
        return f"{said} The schema has 0 tables(s), 0 functions(s), {volumes} volumes(s)"

    def _add(self, full_name: FullName, owner: str, given: dict[str, Any]) -> None:
        own = {"id": str(uuid.uuid4()), "owner": owner, "created_by": owner, "created_at": now()}
        self._root.joinpath(*full_name).mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # or its name is refused
        self._objects[full_name] = {**given, **own}

    def _describe(self, full_name: FullName) -> dict[str, Any]:
        kept = self._objects[full_name]
        details = {"created_by": kept["owner"], "updated_at": kept["created_at"], **kept}
        number = details.pop("id")
        details.pop("grants", None)
        shown = {
            **{name: value for name, value in details.items() if value},
            "name": full_name[-1],
            "full_name": ".".join(full_name),
            "metastore_id": self._metastore_id,
        }
        if len(full_name) == 1:
            return {**shown, "catalog_type": "MANAGED_CATALOG"}
        shown["catalog_name"] = full_name[0]
        if len(full_name) == 2:
            return {**shown, "catalog_type": "MANAGED_CATALOG", "schema_id": number}
        return {
            **shown,
            "schema_name": full_name[1],
            "volume_id": number,
            "volume_type": "MANAGED",
            "storage_location": f"s3://sandbox/metastore/{self._metastore_id}/volumes/{number}",
        }

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._as_document())

    def _as_document(self) -> dict[str, Any]:
        return {"objects": {".".join(name): details for name, details in self._objects.items()}}


def no_such(kind: str, full_name: FullName) -> ApiError:
    """Return the error for an object that is missing: a catalog, schema, volume or table."""
    code = "RESOURCE_DOES_NOT_EXIST" if kind == "Volume" else f"{kind.upper()}_DOES_NOT_EXIST"
    return ApiError(404, code, f"{kind} '{'.'.join(full_name)[:300]}' does not exist.")
