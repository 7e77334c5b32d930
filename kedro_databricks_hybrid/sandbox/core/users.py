"""Users and their first tokens, and which part of the workspace tree each user may access."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, missing
from kedro_databricks_hybrid.sandbox.core.permissions import EDIT, READ, TREE
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
    from kedro_databricks_hybrid.sandbox.core.store import Store

DEFAULT_USER = "user@example.com"
_DOCUMENT = "users"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+@-]{0,127}")
_HOMES = {"Users", "Repos"}
_NOTEBOOK_EXTENSIONS = {".py", ".ipynb", ".sql", ".scala", ".r"}  # of their files; their names have none


@dataclass(frozen=True)
class User:
    """One user or service principal of the workspace.

    Attributes:
        name: The user's address, or the application id of a service principal.
        token: The first token.
        number: The id in SCIM.
        display: The display name of a service principal; empty for a user.
    """

    name: str
    token: str
    number: int
    display: str = ""

    @property
    def is_service_principal(self) -> bool:
        """Whether it is no person."""
        return bool(self.display)


@stored
@dataclass(frozen=True)
class _Saved:
    token: str
    number: int
    display: str = ""


_Name = Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]


class Users:
    """The users of the workspace; their tokens survive a restart."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store = store
        self._layout = layout
        saved = store.load(_DOCUMENT, dict[_Name, _Saved])
        self._users = {name: User(name, **vars(each)) for name, each in saved.items()}

    def add(self, name: str, display: str = "") -> User:
        """Return the user of that name; a new one gets a random token and home folders.

        Args:
            name: The name.
            display: The display name of a service principal; empty for a user.
        """
        if not _NAME.fullmatch(name):
            msg = f"'{name}' cannot be a user name: use an address such as {DEFAULT_USER}"
            raise ValueError(msg)
        user = self._users.get(name)
        if user is None:
            user = User(name, f"dapi{secrets.token_hex(16)}", new_id(16), display)
            self._users[name] = user
            self._store.save_now(_DOCUMENT, self._as_document())
        for folder in ("Users", "Repos"):
            (self._layout.workspace / folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return user

    def all(self) -> list[User]:
        """Return every user and service principal."""
        return list(self._users.values())

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
        return {
            user.name: {"token": user.token, "number": user.number, "display": user.display}
            for user in self._users.values()
        }


class Access:
    """Decides who may access a path, by its first two names once links are resolved, and by permissions."""

    def __init__(self, users: Users, permissions: Permissions) -> None:
        self._users = users
        self._permissions = permissions

    def check(self, user: User, names: tuple[str, ...], level: str = READ) -> None:
        """Refuse a path below the home of another user, who has not granted this permission level."""
        if not self.may(user, names, level):
            raise denied(f"User {user.name} does not have permission to access '{path_of(names)}'.")

    def may(self, user: User, names: tuple[str, ...], level: str = READ) -> bool:
        """Whether the user may access the path; all users share a `/Repos/<folder>` that is nobody's home."""
        if len(names) < 2 or self.owner_of(names) in {None, user.name}:
            return True
        paths = [path_of(names[:length]) for length in range(2, len(names) + 1)]
        stem, _, extension = paths[-1].rpartition(".")
        if f".{extension.lower()}" in _NOTEBOOK_EXTENSIONS:
            paths.append(stem)
        return any(
            self._permissions.allow(user.name, TREE, level, self._permissions.of(path)) for path in paths
        )

    def owner_of(self, names: tuple[str, ...]) -> str | None:
        """Return the user in whose home a path is, None for what all users share."""
        is_home = len(names) > 1 and names[0] in _HOMES and self._users.named(names[1]) is not None
        return names[1] if is_home else None

    def granted(self, user: User) -> list[tuple[tuple[str, ...], bool]]:
        """Return the paths in others' homes on which a user has permissions, and whether to edit them."""
        found = []
        for path in self._permissions.keys_below("/"):
            names = tuple(path.strip("/").split("/"))
            if self.owner_of(names) not in {None, user.name} and self.may(user, names):
                found.append((names, self.may(user, names, EDIT)))
        return found


def path_of(names: tuple[str, ...]) -> str:
    """Return the path of an object, by which its permissions are kept."""
    return "/" + "/".join(names)


def no_such_path(path: str) -> ApiError:
    """Return the error for an object that is not in the workspace, with the path as the client wrote it."""
    return missing(f"Path ({path}) doesn't exist.")
