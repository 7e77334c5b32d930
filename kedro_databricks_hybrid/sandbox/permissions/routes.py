"""The permissions API: the access control lists of jobs, clusters, and objects of the workspace tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import ArrayOf, body
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.core.errors import denied, invalid
from kedro_databricks_hybrid.sandbox.core.permissions import GROUP, JOB, KINDS, OWNER, Permission, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.permissions import Kind, Permissions, Secured
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.core.users import User

_PATH = "/api/2.0/permissions"
_NO_JOB_PERMISSION = (
    "{user} does not have Manage permissions on Job with ID: ElasticJobId({id}). "
    "Please contact the owner or an administrator for access."
)


class _Api:
    """The handlers of this family.

    Args:
        permissions: The permissions of the workspace.
        principals: Who may have some.
        lookups: For each kind in KINDS, what finds an object by its id, and refuses a missing one.
    """

    def __init__(
        self,
        permissions: Permissions,
        principals: Principals,
        lookups: Mapping[str, Callable[[str], Secured]],
    ) -> None:
        self._permissions = permissions
        self._principals = principals
        self._lookups = lookups

    async def get(self, user: User, kind: str, object_id: str) -> dict[str, Any]:
        return self._describe(self._found(user, kind, object_id, _kind(kind).levels[0]))

    async def levels(self, user: User, kind: str, object_id: str) -> dict[str, Any]:
        found = self._found(user, kind, object_id, _kind(kind).levels[0]).kind
        return {
            "permission_levels": [
                {"permission_level": level, "description": f"{_words(level)} permission on {found.name}"}
                for level in found.levels
            ]
        }

    async def replace(
        self, user: User, kind: str, object_id: str, access_control_list: ArrayOf[dict[str, Any]]
    ) -> dict[str, Any]:
        found = self._found(user, kind, object_id, _managing(_kind(kind)))
        return await self._put(found, self._principals.entries(found.kind, access_control_list))

    async def update(
        self, user: User, kind: str, object_id: str, access_control_list: ArrayOf[dict[str, Any]]
    ) -> dict[str, Any]:
        found = self._found(user, kind, object_id, _managing(_kind(kind)))
        changes = self._principals.entries(found.kind, access_control_list)
        return await self._put(found, merged(self._permissions.of(found.key, found.initial), changes))

    async def _put(self, found: Secured, entries: Sequence[Permission]) -> dict[str, Any]:
        if found.kind.has_owner and sum(one.level == OWNER for one in entries) != 1:
            raise invalid(f"The {found.kind.name.removesuffix('s')} must have exactly one owner.")
        await self._permissions.put(found.key, entries)
        return self._describe(found)

    def _found(self, user: User, kind: str, object_id: str, needed: str) -> Secured:
        """Return an object; refuse a missing one, and a user without the permission level."""
        found = self._lookups[_kind_name(kind)](object_id)
        entries = [*self._permissions.of(found.key, found.initial), *(one for _, one in found.inherited)]
        if not self._permissions.allow(user.name, found.kind, needed, entries):
            if found.kind is JOB:
                raise denied(_NO_JOB_PERMISSION.format(user=user.name, id=object_id))
            raise denied(f"User {user.name} does not have permission to manage {found.address}.")
        return found

    def _describe(self, found: Secured) -> dict[str, Any]:
        listed: dict[tuple[str, str], dict[str, Any]] = {}
        direct = [("", one) for one in self._permissions.of(found.key, found.initial)]
        for source, one in [*direct, *found.inherited]:
            shown = {one.field: one.name}
            if one.field != GROUP:
                shown["display_name"] = self._principals.display(one.name)
            how = {"inherited": True, "inherited_from_object": [source]} if source else {"inherited": False}
            entry = listed.setdefault(one.principal, {**shown, "all_permissions": []})
            entry["all_permissions"].append({"permission_level": one.level, **how})
        return {
            "object_id": found.address,
            "object_type": found.kind.name,
            "access_control_list": list(listed.values()),
        }


def routes(
    permissions: Permissions, principals: Principals, lookups: Mapping[str, Callable[[str], Secured]]
) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(permissions, principals, lookups)
    path = f"{_PATH}/{{kind}}/{{object_id}}"
    return [
        endpoint("GET", path, api.get),
        endpoint("GET", f"{path}/permissionLevels", api.levels),
        endpoint("PUT", path, api.replace, body),
        endpoint("PATCH", path, api.update),
    ]


def _kind_name(kind: str) -> str:
    if kind not in KINDS:
        raise invalid(f"The sandbox has no objects of type '{kind[:50]}': use one of {', '.join(KINDS)}.")
    return kind


def _kind(kind: str) -> Kind:
    return KINDS[_kind_name(kind)]


def _managing(kind: Kind) -> str:
    """Return the lowest level that allows to change permissions."""
    return "CAN_MANAGE" if "CAN_MANAGE" in kind.levels else kind.levels[-1]


def _words(level: str) -> str:
    """Return a permission level as its description has it."""
    return level.replace("_", " ").title()
