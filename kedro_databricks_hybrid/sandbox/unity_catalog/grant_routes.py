"""Privileges on catalogs, schemas and volumes, which are kept and shown; the sandbox refuses nobody for them.

A privilege on a catalog or schema is inherited by all that is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Array, ArrayOf, Body, Required, parse
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import UNKNOWN_GRANTEE

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.unity_catalog.model import FullName, UnityCatalog

ALL = "ALL_PRIVILEGES"
_TYPES = ("catalog", "schema", "volume")
_OF_VOLUMES = {ALL, "APPLY_TAG", "MANAGE", "READ_VOLUME", "WRITE_VOLUME"}
_OF_SCHEMAS = _OF_VOLUMES | {
    *("CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_MODEL", "CREATE_MODEL_VERSION", "CREATE_TABLE"),
    *("CREATE_VOLUME", "EXECUTE", "EXTERNAL_USE_SCHEMA", "MODIFY", "REFRESH", "SELECT", "USE_SCHEMA"),
}
_OF_CATALOGS = _OF_SCHEMAS | {"BROWSE", "CREATE_SCHEMA", "USE_CATALOG"}
_PRIVILEGES = dict(zip(_TYPES, (_OF_CATALOGS, _OF_SCHEMAS, _OF_VOLUMES), strict=True))
"""The privileges that can be granted on each type of object, as the documentation lists them."""

_NOT_APPLICABLE = (
    "Privilege {0} is not applicable to this entity [{1}:{2}/{2}_STANDARD]. If this seems unexpected, please "
    "check the privilege version of the metastore in use [1.0]."
)
_NO_PRINCIPAL = "Could not find principal with name {}"
_DUPLICATE = "Duplicate privileges to add and delete for principal {}."

Privileges = dict[str, list[str]]
"""The granted privileges of each principal."""


class _Change(Body):
    principal: Required
    add: Array
    remove: Array


class _Api:
    """The handlers of grants."""

    def __init__(self, catalog: UnityCatalog, principals: Principals) -> None:
        self._catalog = catalog
        self._principals = principals

    async def get(self, kind: str, full_name: str, principal: str = "") -> dict[str, Any]:
        granted = self._catalog.privileges(_names(kind, full_name))
        return _assignments({name: granted[name] for name in granted if principal in {"", name}})

    async def effective(self, kind: str, full_name: str, principal: str = "") -> dict[str, Any]:
        names = _names(kind, full_name)
        found: dict[str, list[dict[str, str]]] = {}
        for length in range(len(names), 0, -1):
            above = names[:length]
            source = {
                "inherited_from_type": _TYPES[length - 1].upper(),
                "inherited_from_name": ".".join(above),
            }
            for name, privileges in self._catalog.privileges(above).items():
                shown = [{"privilege": one, **(source if above != names else {})} for one in privileges]
                found[name] = [*found.get(name, []), *shown]
        shown_of = {name: found[name] for name in found if principal in {"", name}}
        return _assignments(shown_of)

    async def update(self, kind: str, full_name: str, changes: ArrayOf[dict[str, Any]]) -> dict[str, Any]:
        names = _names(kind, full_name)
        granted = self._catalog.privileges(names)
        for change in (parse(_Change, one) for one in changes):
            self._check(change, kind, names)
            before = set() if ALL in change.remove else {*granted.get(change.principal, ())}
            granted[change.principal] = sorted({*before, *change.add} - {*change.remove})
        granted = {name: privileges for name, privileges in granted.items() if privileges}
        await self._catalog.grant(names, granted)
        return _assignments(granted)

    def _check(self, change: _Change, kind: str, names: FullName) -> None:
        """Refuse a change for an unknown principal, or of privileges that such objects do not have."""
        for privilege in [*change.add, *change.remove]:
            if privilege not in _PRIVILEGES[kind.lower()]:
                shown = str(privilege)[:100]
                raise invalid(_NOT_APPLICABLE.format(shown, ".".join(names), kind.upper()))
        if {*change.add} & {*change.remove}:
            raise invalid(_DUPLICATE.format(change.principal))
        if not self._principals.has_grantee(change.principal):
            raise ApiError(*UNKNOWN_GRANTEE, _NO_PRINCIPAL.format(change.principal[:200]))


def routes(catalog: UnityCatalog, principals: Principals) -> list[Route]:
    """Return the routes of grants."""
    api = _Api(catalog, principals)
    table: dict[str, Handler] = {
        "GET /permissions/{kind}/{full_name}": api.get,
        "PATCH /permissions/{kind}/{full_name}": api.update,
        "GET /effective-permissions/{kind}/{full_name}": api.effective,
    }
    return endpoints(table, "/api/2.1/unity-catalog")


def _names(kind: str, full_name: str) -> FullName:
    names = tuple(full_name.lower().split("."))
    if kind.lower() not in _TYPES:
        raise invalid(f"The sandbox keeps no privileges on '{kind[:50]}': use one of {', '.join(_TYPES)}.")
    if len(names) != _TYPES.index(kind.lower()) + 1:
        raise invalid(f"'{full_name[:300]}' is not a full name of a {kind.lower()}.")
    return names


def _assignments(granted: dict[str, Any]) -> dict[str, Any]:
    shown = [{"principal": name, "privileges": privileges} for name, privileges in granted.items()]
    return {"privilege_assignments": shown} if shown else {}
