"""Permissions on objects of the workspace: who has which level, and which kinds of objects have them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.groups import ADMINS
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kedro_databricks_hybrid.sandbox.core.groups import Groups
    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "permissions"
USER, GROUP, SERVICE_PRINCIPAL = "user_name", "group_name", "service_principal_name"
PRINCIPALS = (USER, GROUP, SERVICE_PRINCIPAL)
"""The fields that name a principal; an entry has one of them."""

OWNER = "IS_OWNER"
MANAGE = "CAN_MANAGE"
EDIT = "CAN_EDIT"
READ = "CAN_READ"


@dataclass(frozen=True)
class Kind:
    """A kind of objects that have permissions.

    Attributes:
        name: As the API calls one object.
        levels: The permission levels from the lowest to the highest.
    """

    name: str
    levels: tuple[str, ...]

    @property
    def has_owner(self) -> bool:
        """Whether each object has exactly one owner."""
        return OWNER in self.levels

    def includes(self, level: str, needed: str) -> bool:
        """Whether a level allows what the needed level allows."""
        return level in self.levels and self.levels.index(level) >= self.levels.index(needed)


_TREE_LEVELS = (READ, "CAN_RUN", EDIT, MANAGE)
KINDS = {
    "jobs": Kind("job", ("CAN_VIEW", "CAN_MANAGE_RUN", MANAGE, OWNER)),
    "clusters": Kind("cluster", ("CAN_ATTACH_TO", "CAN_RESTART", MANAGE)),
    "directories": Kind("directory", _TREE_LEVELS),
    "notebooks": Kind("notebook", _TREE_LEVELS),
    "files": Kind("file", _TREE_LEVELS),
    "repos": Kind("repo", _TREE_LEVELS),
    "instance-pools": Kind("instance-pool", ("CAN_ATTACH_TO", MANAGE)),
    "cluster-policies": Kind("cluster-policy", ("CAN_USE",)),
    "pipelines": Kind("pipelines", ("CAN_VIEW", "CAN_RUN", MANAGE, OWNER)),
}
"""The kinds by their names in addresses."""

OBJECT_KINDS = ("directories", "notebooks", "files", "repos")
"""The kinds of objects in the workspace tree, which share their permissions with what is in them."""

JOB = KINDS["jobs"]
TREE = KINDS["directories"]
SCOPE = Kind("secret-scope", ("READ", "WRITE", "MANAGE"))


@stored
@dataclass(frozen=True)
class Permission:
    """The permission level of one principal.

    Attributes:
        field: The field that names the principal, one of PRINCIPALS.
        name: The name of the principal.
        level: The permission level.
    """

    field: str
    name: str
    level: str

    @property
    def principal(self) -> tuple[str, str]:
        """What tells principals apart."""
        return self.field, self.name


@dataclass(frozen=True)
class Secured:
    """One object with permissions.

    Attributes:
        kind: Its kind.
        key: What its permissions are kept by.
        address: Its id as the API shows it, such as /jobs/1.
        initial: The entries that it has until its permissions are set.
        inherited: The entries of what it is in, with the ids of the objects that have them.
    """

    kind: Kind
    key: str
    address: str
    initial: tuple[Permission, ...] = ()
    inherited: tuple[tuple[str, Permission], ...] = ()


class Permissions:
    """The permissions that were set, by the key of the object."""

    def __init__(self, store: Store, groups: Groups) -> None:
        self._store = store
        self._groups = groups
        self._entries = store.load(_DOCUMENT, dict[str, list[Permission]])

    def of(self, key: str, initial: Sequence[Permission] = ()) -> list[Permission]:
        """Return the entries of an object: those that were set, else those that it has from the start."""
        return list(self._entries.get(key, initial))

    def keys_below(self, prefix: str) -> list[str]:
        """Return the keys with a prefix whose objects have entries."""
        return sorted(key for key in self._entries if key.startswith(prefix))

    def allow(self, user: str, kind: Kind, needed: str, entries: Sequence[Permission]) -> bool:
        """Whether entries give a user a permission level, directly or by a group."""
        return any(kind.includes(one.level, needed) and self._is(user, one) for one in entries)

    async def put(self, key: str, entries: Sequence[Permission]) -> None:
        """Set the entries of an object; the last one of each principal counts."""
        self._entries[key] = list({one.principal: one for one in entries}.values())
        await self._save()

    async def forget(self, key: str) -> None:
        """Drop the entries of an object that is deleted, and of all that is in it."""
        gone = [each for each in self._entries if each == key or each.startswith(f"{key}/")]
        for each in gone:
            del self._entries[each]
        if gone:
            await self._save()

    def _is(self, user: str, entry: Permission) -> bool:
        return entry.name in self._groups.of(user) if entry.field == GROUP else entry.name == user

    async def _save(self) -> None:
        document: dict[str, Any] = {
            key: [asdict(one) for one in entries] for key, entries in self._entries.items()
        }
        await self._store.save(_DOCUMENT, document)


def of_admins(kind: str) -> tuple[tuple[str, Permission], ...]:
    """Return what the administrators inherit on every object of a kind, one of KINDS."""
    return ((f"/{kind}/", Permission(GROUP, ADMINS, MANAGE)),)


def merged(before: Sequence[Permission], changes: Sequence[Permission]) -> list[Permission]:
    """Return permissions after changes; the owner before a new one can still manage the object."""
    if any(one.level == OWNER for one in changes):
        before = [replace(one, level=MANAGE) if one.level == OWNER else one for one in before]
    return list({one.principal: one for one in [*before, *changes]}.values())
