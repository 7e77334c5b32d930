"""Who can be given permissions and privileges: users, service principals and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import invalid, missing
from kedro_databricks_hybrid.sandbox.core.groups import ACCOUNT_USERS, ADMINS, EVERYBODY
from kedro_databricks_hybrid.sandbox.core.guesses import UNKNOWN_LEVEL
from kedro_databricks_hybrid.sandbox.core.permissions import (
    GROUP,
    OWNER,
    PRINCIPALS,
    SERVICE_PRINCIPAL,
    USER,
    Permission,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro_databricks_hybrid.sandbox.core.groups import Groups
    from kedro_databricks_hybrid.sandbox.core.permissions import Kind
    from kedro_databricks_hybrid.sandbox.core.users import Users

_SHOWN = {USER: "UserName", GROUP: "GroupName", SERVICE_PRINCIPAL: "ServicePrincipalName"}


class Principals:
    """Finds principals by their names."""

    def __init__(self, users: Users, groups: Groups) -> None:
        self._users = users
        self._groups = groups

    def field_of(self, name: str) -> str | None:
        """Return the field that names a principal of the workspace, None if there is none of that name."""
        user = self._users.named(name)
        if user is not None:
            return SERVICE_PRINCIPAL if user.is_service_principal else USER
        return GROUP if self._groups.has(name) else None

    def has_grantee(self, name: str) -> bool:
        """Whether Unity Catalog knows a principal: not the groups that every workspace has for itself."""
        if name in {EVERYBODY, ADMINS}:
            return False
        return name == ACCOUNT_USERS or self.field_of(name) is not None

    def entry(self, name: str, level: str) -> Permission:
        """Return the entry of a user or service principal."""
        return Permission(self.field_of(name) or USER, name, level)

    def display(self, name: str) -> str:
        """Return the display name of a user or service principal."""
        user = self._users.named(name)
        return (user.display if user else "") or name

    def entries(self, kind: Kind, given: Iterable[Mapping[str, Any]]) -> list[Permission]:
        """Return the entries of an access control list.

        Raises:
            ApiError: A principal does not exist, or the kind of object does not have the permission level.
        """
        found = []
        for one in given:
            field = next((field for field in PRINCIPALS if one.get(field)), None)
            if field is None:
                raise invalid("Principal name not defined")
            name, level = str(one[field]), str(one.get("permission_level") or "")
            if level not in kind.levels:
                raise invalid(UNKNOWN_LEVEL.format(level[:50], kind.name, ", ".join(kind.levels)))
            if self.field_of(name) != field:
                raise missing(f"Principal: {_SHOWN[field]}({name[:200]}) does not exist")
            if (field, level) == (GROUP, OWNER):
                raise invalid(f"The group {name[:200]} cannot be the owner of a {kind.name}.")
            found.append(Permission(field, name, level))
        return found
