"""Objects that are only kept and shown, such as instance pools: the sandbox does nothing with them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, create_model

from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.permissions import KINDS, Secured, of_admins
from kedro_databricks_hybrid.sandbox.core.stamps import now

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.core.store import Store

CREATOR = "creator_user_name"


@dataclass(frozen=True, eq=False)
class RecordKind:
    """A kind of records.

    Attributes:
        kind: Its name in the permissions API.
        title: Its name in messages.
        number: The field with the id.
        name: The field with the name, which is unique.
        created: The field with the time of creation.
        shown: What a record shows besides the fields that were given.
    """

    kind: str
    title: str
    number: str
    name: str
    created: str
    shown: dict[str, Any] = field(default_factory=dict)


class Records:
    """The records of one kind."""

    def __init__(
        self, kind: RecordKind, store: Store, permissions: Permissions, principals: Principals
    ) -> None:
        self.kind = kind
        self._store = store
        self._permissions = permissions
        self._principals = principals
        self._document = kind.kind.replace("-", "_")
        fields: dict[str, Any] = {
            **dict.fromkeys((kind.number, kind.name, CREATOR), (str, ...)),
            kind.created: (int, ...),
        }
        record = create_model(kind.title, __config__=ConfigDict(extra="allow"), **fields)
        records: Any = GenericAlias(dict, (str, record))
        saved: dict[str, BaseModel] = store.load(self._document, records)
        self._records = {number: one.model_dump() for number, one in saved.items()}

    def all(self) -> list[dict[str, Any]]:
        """Return every record."""
        return list(self._records.values())

    def get(self, number: str) -> dict[str, Any]:
        """Return a record; refuse a missing one."""
        if number not in self._records:
            raise invalid(f"{self.kind.title} {number[:100]} does not exist.")
        return self._records[number]

    async def create(self, user: str, given: dict[str, Any]) -> str:
        """Add a record and return its id."""
        self._check_name(given)
        number = str(uuid.uuid4())
        made = {self.kind.number: number, CREATOR: user, self.kind.created: now()}
        self._records[number] = {**self.kind.shown, **given, **made}
        await self._save()
        return number

    async def edit(self, number: str, given: dict[str, Any], *, whole: bool = False) -> None:
        """Replace the fields of a record that were given, or the whole record."""
        record = self.get(number)
        if whole:
            record = {name: record[name] for name in (self.kind.number, CREATOR, self.kind.created)}
        self._check_name({**record, **given}, number)
        self._records[number] = {**record, **given}
        await self._save()

    async def remove(self, number: str) -> None:
        """Delete a record."""
        self.get(number)
        del self._records[number]
        await self._save()
        await self._permissions.forget(f"{self.kind.kind}/{number}")

    def secured(self, number: str) -> Secured:
        """Return a record as an object with permissions."""
        kind, key = KINDS[self.kind.kind], f"{self.kind.kind}/{number}"
        creator = self._principals.entry(self.get(number)[CREATOR], kind.levels[-1])
        return Secured(kind, key, f"/{key}", (creator,), of_admins(self.kind.kind))

    def _check_name(self, given: dict[str, Any], number: str = "") -> None:
        name = given.get(self.kind.name)
        if not isinstance(name, str) or not name:
            raise invalid(f"Missing required field: {self.kind.name}")
        for other, record in self._records.items():
            if other != number and record[self.kind.name] == name:
                raise invalid(f"{self.kind.title} with name '{name[:100]}' already exists.")

    async def _save(self) -> None:
        await self._store.save(self._document, dict(self._records))
