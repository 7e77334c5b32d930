"""Who may touch which part of the workspace tree: a user's home is the user's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import ApiError, denied, missing

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.users import User, Users

_HOMES = {"Users", "Repos"}


class Access:
    """Decides by the first two names of a path, once links have been followed."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def check(self, user: User, names: tuple[str, ...]) -> None:
        """Refuse a path below somebody else's home."""
        if not self.may(user, names):
            raise denied(f"User {user.name} does not have permission to access '/{'/'.join(names)}'.")

    def may(self, user: User, names: tuple[str, ...]) -> bool:
        """Whether the user may see the path; `/Repos/<folder>` that is nobody's home is everybody's."""
        if len(names) < 2 or names[0] not in _HOMES or names[1] == user.name:
            return True
        return self._users.named(names[1]) is None


def no_such_path(names: tuple[str, ...]) -> ApiError:
    """Refuse because the workspace has no such object."""
    return missing(f"Path (/{'/'.join(names)}) doesn't exist.")
