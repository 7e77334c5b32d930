"""The groups of the workspace and their members."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid, missing
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "groups"
EVERYBODY = "users"
"""The group of the workspace whose members are all users and service principals."""

ACCOUNT_USERS = "account users"
"""The group of all users of the account, to which Unity Catalog grants privileges."""

ADMINS = "admins"
"""The administrators. Nobody in the sandbox is one, so that other users can be tried as they are refused."""


@stored
@dataclass
class Group:
    """One group; its members are the names of users and service principals."""

    name: str
    members: list[str] = field(default_factory=list)


class Groups:
    """The groups by their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups = store.load(_DOCUMENT, dict[str, Group])
        if not self._groups:
            self._groups = {str(new_id(16)): Group(name) for name in (EVERYBODY, ADMINS)}
            store.save_now(_DOCUMENT, self._as_document())

    def all(self) -> dict[str, Group]:
        """Return every group of the workspace by its id."""
        return dict(self._groups)

    def get(self, number: str) -> Group:
        """Return a group; refuse a missing one."""
        if number not in self._groups:
            raise missing(f"Group with id {number[:100]} not found.")
        return self._groups[number]

    def has(self, name: str) -> bool:
        """Whether the workspace has a group of that name."""
        return any(group.name == name for group in self._groups.values())

    def of(self, user: str) -> set[str]:
        """Return the names of a user's groups."""
        return {
            EVERYBODY,
            ACCOUNT_USERS,
            *(group.name for group in self._groups.values() if user in group.members),
        }

    async def put(self, number: str | None, group: Group) -> str:
        """Add a group, or replace the one with that id, and return its id."""
        before = self._groups.get(number or "")
        if before is not None and before.name in {EVERYBODY, ADMINS} and group.name != before.name:
            raise invalid(f"The group {before.name} cannot be renamed.")
        if self.has(group.name) and (before is None or before.name != group.name):
            raise ApiError(409, "RESOURCE_CONFLICT", f"Group with name {group.name} already exists.")
        number = number or str(new_id(16))
        self._groups[number] = group
        await self._save()
        return number

    async def remove(self, number: str) -> None:
        """Delete a group."""
        if self.get(number).name in {EVERYBODY, ADMINS}:
            raise invalid(f"The group {self.get(number).name} cannot be deleted.")
        del self._groups[number]
        await self._save()

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._as_document())

    def _as_document(self) -> dict[str, object]:
        return {number: asdict(group) for number, group in self._groups.items()}
