"""Users and their first tokens, and which part of the workspace tree each user may access."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, missing
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.store import Store

DEFAULT_USER = "user@example.com"
_DOCUMENT = "users"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+@-]{0,127}")
_HOMES = {"Users", "Repos"}


@dataclass(frozen=True)
class User:
    """One user, or service principal, of the workspace."""

    name: str
    token: str
    number: int


@stored
@dataclass(frozen=True)
class _Saved:
    token: str
    number: int


_Name = Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]


class Users:
    """The users of the workspace; their tokens survive a restart."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store = store
        self._layout = layout
        saved = store.load(_DOCUMENT, dict[_Name, _Saved])
        self._users = {name: User(name, each.token, each.number) for name, each in saved.items()}

    def add(self, name: str) -> User:
        """Return the user of that name; a new one gets a random token and home folders."""
        if not _NAME.fullmatch(name):
            msg = f"'{name}' cannot be a user name: use an address such as {DEFAULT_USER}"
            raise ValueError(msg)
        user = self._users.get(name)
        if user is None:
            user = User(name, f"dapi{secrets.token_hex(16)}", new_id(16))
            self._users[name] = user
            self._store.save_now(_DOCUMENT, self._as_document())
        for folder in ("Users", "Repos"):
            (self._layout.workspace / folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return user

    def named(self, name: str) -> User | None:
        """Return the user of that name."""
        return self._users.get(name)

    def by_token(self, token: str) -> User | None:
        """Return the user with that first token, None if it is not valid; compares in constant time."""
        given = token.encode(errors="replace")
        found = None
        for user in self._users.values():
            if hmac.compare_digest(user.token.encode(), given):
                found = user
        return found

    def _as_document(self) -> dict[str, Any]:
        return {user.name: {"token": user.token, "number": user.number} for user in self._users.values()}


class Access:
    """Decides who may access a path, by its first two names once links are resolved."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def check(self, user: User, names: tuple[str, ...]) -> None:
        """Refuse a path below the home of another user."""
        if not self.may(user, names):
            raise denied(f"User {user.name} does not have permission to access '/{'/'.join(names)}'.")

    def may(self, user: User, names: tuple[str, ...]) -> bool:
        """Whether the user may access the path; all users share a `/Repos/<folder>` that is nobody's home."""
        if len(names) < 2 or names[0] not in _HOMES or names[1] == user.name:
            return True
        return self._users.named(names[1]) is None


def no_such_path(path: str) -> ApiError:
    """Return the error for an object that is not in the workspace, with the path as the client wrote it."""
    return missing(f"Path ({path}) doesn't exist.")
