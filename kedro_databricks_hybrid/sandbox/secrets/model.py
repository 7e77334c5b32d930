"""Secret scopes, their owners and their secrets."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, exists, invalid, missing
from kedro_databricks_hybrid.sandbox.core.groups import EVERYBODY
from kedro_databricks_hybrid.sandbox.core.guesses import UNKNOWN_SCOPE_LEVEL, UNKNOWN_SCOPE_PRINCIPAL
from kedro_databricks_hybrid.sandbox.core.permissions import GROUP, SCOPE, Permission
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.core.store import Store

MAX_VALUE_BYTES = 128 * 1024
MAX_SECRETS = 1000
MAX_SCOPES = 1000
READ, WRITE, MANAGE = SCOPE.levels
_DOCUMENT = "secrets"
_NAME = re.compile(r"[\w\-.@/ ]{1,128}", re.ASCII)
_KEY = re.compile(r"[\w\-.]{1,128}", re.ASCII)


@stored
@dataclass
class Scope:
    """One scope; values are base64, times are milliseconds since the epoch."""

    owner: str
    shared: bool = False
    values: dict[str, str] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a saved scope whose secrets have no times."""
        if self.values.keys() != self.changed.keys():
            raise ValueError("values and changed must have the same keys")


class Secrets:
    """The secrets of the workspace, and who may use them: from the start the user who created the scope.

    Args:
        store: The store of the scopes.
        permissions: Their access control lists.
        principals: Who can be in one.
    """

    def __init__(self, store: Store, permissions: Permissions, principals: Principals) -> None:
        self._store = store
        self._permissions = permissions
        self._principals = principals
        self._scopes = store.load(_DOCUMENT, dict[str, Scope])

    def scopes(self, user: str) -> list[str]:
        """Return the names of the scopes that a user may read."""
        return sorted(name for name in self._scopes if self._may(user, name, READ))

    def scope(self, user: str, name: str, level: str = READ) -> Scope:
        """Return a scope; refuse a missing one, and a user without the permission."""
        scope = self._scopes.get(name)
        if scope is None:
            raise missing(f"Scope {name[:200]} does not exist!")
        if not self._may(user, name, level):
            raise denied(f"User {user} does not have {level} permission on scope {name}")
        return scope

    def access_list(self, user: str, name: str) -> list[Permission]:
        """Return who may use a scope; only those who may manage it are told."""
        self.scope(user, name, MANAGE)
        return self._entries(name)

    def entry_of(self, user: str, name: str, principal: str) -> Permission:
        """Return the permission of a principal on a scope; refuse one without any."""
        for entry in self.access_list(user, name):
            if entry.name == principal:
                return entry
        raise missing(f"Failed to get secret acl for principal {principal[:200]} for scope {name}.")

    async def permit(self, user: str, name: str, principal: str, level: str) -> None:
        """Give a principal a permission on a scope."""
        entries = self.access_list(user, name)
        field = self._principals.field_of(principal)
        if field is None:
            raise missing(UNKNOWN_SCOPE_PRINCIPAL.format(principal[:200]))
        if level not in SCOPE.levels:
            raise invalid(UNKNOWN_SCOPE_LEVEL.format(level[:50], ", ".join(SCOPE.levels)))
        await self._permissions.put(_key_of(name), [*entries, Permission(field, principal, level)])

    async def withdraw(self, user: str, name: str, principal: str) -> None:
        """Remove the permission of a principal on a scope."""
        gone = self.entry_of(user, name, principal)
        kept = [one for one in self.access_list(user, name) if one != gone]
        await self._permissions.put(_key_of(name), kept)

    def _may(self, user: str, name: str, level: str) -> bool:
        return self._permissions.allow(user, SCOPE, level, self._entries(name))

    def _entries(self, name: str) -> list[Permission]:
        scope = self._scopes[name]
        initial = [self._principals.entry(scope.owner, MANAGE)]
        if scope.shared:
            initial.append(Permission(GROUP, EVERYBODY, MANAGE))
        return self._permissions.of(_key_of(name), initial)

    async def add(self, user: str, name: str, *, shared: bool) -> None:
        """Create a scope."""
        if not _NAME.fullmatch(name):
            raise invalid(
                "Scope name must consist of alphanumeric characters, dashes, underscores, and periods, "
                "and may not exceed 128 characters."
            )
        if name in self._scopes:
            raise exists(f"Scope {name} already exists!")
        if len(self._scopes) >= MAX_SCOPES:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"The workspace already has {MAX_SCOPES} scopes.")
        self._scopes[name] = Scope(user, shared)
        await self._save()

    async def remove(self, user: str, name: str) -> None:
        """Delete a scope and its secrets."""
        self.scope(user, name, MANAGE)
        del self._scopes[name]
        await self._save()
        await self._permissions.forget(_key_of(name))

    async def put(self, user: str, name: str, key: str, value: bytes) -> None:
        """Set a secret."""
        scope = self.scope(user, name, WRITE)
        if not _KEY.fullmatch(key):
            raise invalid(
                "Secret key must consist of alphanumeric characters, dashes, underscores, and periods, "
                "and may not exceed 128 characters."
            )
        if len(value) > MAX_VALUE_BYTES:
            raise invalid(f"Secret value is larger than the limit of {MAX_VALUE_BYTES} bytes.")
        if key not in scope.values and len(scope.values) >= MAX_SECRETS:
            raise ApiError(400, "RESOURCE_LIMIT_EXCEEDED", f"Scope {name} already has {MAX_SECRETS} secrets.")
        scope.values[key] = base64.b64encode(value).decode()
        scope.changed[key] = now()
        await self._save()

    def get(self, user: str, name: str, key: str) -> str:
        """Return a secret's value in base64."""
        try:
            return self.scope(user, name).values[key]
        except KeyError:
            raise missing(f"Secret does not exist with scope: {name} and key: {key[:200]}") from None

    async def delete(self, user: str, name: str, key: str) -> None:
        """Delete a secret."""
        scope = self.scope(user, name, WRITE)
        self.get(user, name, key)
        del scope.values[key], scope.changed[key]
        await self._save()

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, {name: asdict(scope) for name, scope in self._scopes.items()})


def _key_of(name: str) -> str:
    """Return what the access control list of a scope is kept by; names of scopes may have slashes."""
    return f"scopes/{quote(name, safe='')}"
