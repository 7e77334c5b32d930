"""Secret scopes, their owners and their secrets."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, exists, invalid, missing
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.store import Store

MAX_VALUE_BYTES = 128 * 1024
MAX_SECRETS = 1000
MAX_SCOPES = 1000
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
    """The secrets of the workspace; only its owner may use a scope, unless it is shared with all users."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scopes = store.load(_DOCUMENT, dict[str, Scope])

    def scopes(self, user: str) -> list[str]:
        """Return the names of the scopes that a user may use."""
        return sorted(name for name, scope in self._scopes.items() if scope.shared or scope.owner == user)

    def scope(self, user: str, name: str) -> Scope:
        """Return a scope; refuse one that is missing or not the user's."""
        scope = self._scopes.get(name)
        if scope is None:
            raise missing(f"Scope {name[:200]} does not exist!")
        if not scope.shared and scope.owner != user:
            raise denied(f"User {user} does not have READ permission on scope {name}")
        return scope

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
        self.scope(user, name)
        del self._scopes[name]
        await self._save()

    async def put(self, user: str, name: str, key: str, value: bytes) -> None:
        """Set a secret."""
        scope = self.scope(user, name)
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
        self.get(user, name, key)
        scope = self.scope(user, name)
        del scope.values[key], scope.changed[key]
        await self._save()

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, {name: asdict(scope) for name, scope in self._scopes.items()})
