"""SCIM: the users, service principals and groups of the workspace."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from kedro_databricks_hybrid.sandbox.core.bodies import Array, Integer, Required, body
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint, endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid, missing
from kedro_databricks_hybrid.sandbox.core.groups import EVERYBODY, Group

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.groups import Groups
    from kedro_databricks_hybrid.sandbox.core.users import User, Users

PATH = "/api/2.0/preview/scim/v2"
_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:"
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_FILTER = re.compile(r"""\s*(\w+)\s+(eq|co|sw)\s+["']?(.*?)["']?\s*""")
_MEMBER = re.compile(r"""members\[value eq ["'](\d+)["']\]""")
_MATCHES = {"eq": str.__eq__, "co": str.__contains__, "sw": str.startswith}
_DEFAULT_COUNT = 100


def describe(user: User, groups: Groups) -> dict[str, Any]:
    """Return a user or service principal as SCIM shows it."""
    names = sorted(groups.of(user.name) & {group.name for group in groups.all().values()})
    numbers = {group.name: number for number, group in groups.all().items()}
    shown: dict[str, Any] = {
        "id": str(user.number),
        "displayName": user.display or user.name,
        "active": True,
        "groups": [
            {"display": name, "type": "direct", "value": numbers[name], "$ref": f"Groups/{numbers[name]}"}
            for name in names
        ],
    }
    if user.is_service_principal:
        return {"schemas": [f"{_SCHEMA}ServicePrincipal"], "applicationId": user.name, **shown}
    emails = [{"type": "work", "value": user.name, "primary": True}]
    return {"schemas": [f"{_SCHEMA}User"], "userName": user.name, "emails": emails, **shown}


class _Api:
    """The handlers of users and service principals."""

    def __init__(self, users: Users, groups: Groups) -> None:
        self._users = users
        self._groups = groups

    async def create_user(self, userName: Required) -> Response:
        return self._create(userName)

    async def create_service_principal(
        self,
        displayName: Required,
        applicationId: str = "",
    ) -> Response:
        return self._create(applicationId or str(uuid.uuid4()), displayName)

    def _create(self, name: str, display: str = "") -> Response:
        if self._users.named(name) is not None:
            raise ApiError(409, "RESOURCE_CONFLICT", f"{name[:200]} already exists.")
        try:
            user = self._users.add(name, display)
        except ValueError as error:
            raise invalid(str(error)) from error
        return JSONResponse(describe(user, self._groups), 201)

    def list_of(self, *, services: bool) -> Handler:
        """Return the handler that lists the users, or the service principals."""

        async def list_page(
            filter: str = "", startIndex: Integer = 1, count: Integer = _DEFAULT_COUNT
        ) -> dict[str, Any]:
            found = [one for one in self._users.all() if one.is_service_principal == services]
            return _page([describe(one, self._groups) for one in found], filter, startIndex, count)

        return list_page

    async def get(self, number: str) -> dict[str, Any]:
        for user in self._users.all():
            if str(user.number) == number:
                return describe(user, self._groups)
        raise missing(f"User with id {number[:100]} not found.")


class _GroupsApi:
    """The handlers of groups."""

    def __init__(self, users: Users, groups: Groups) -> None:
        self._users = users
        self._groups = groups

    async def create(self, displayName: Required, members: Array) -> Response:
        number = await self._groups.put(None, Group(displayName, self._named(members)))
        return JSONResponse(self._describe(number), 201)

    async def list_page(
        self, filter: str = "", startIndex: Integer = 1, count: Integer = _DEFAULT_COUNT
    ) -> dict[str, Any]:
        return _page([self._describe(number) for number in self._groups.all()], filter, startIndex, count)

    async def get(self, number: str) -> dict[str, Any]:
        return self._describe(number)

    async def replace(self, number: str, displayName: Required, members: Array) -> None:
        self._groups.get(number)
        await self._groups.put(number, Group(displayName, self._named(members)))

    async def patch(self, number: str, Operations: Array) -> None:
        """Add and remove members, or rename the group."""
        before = self._groups.get(number)
        name, members = before.name, list(before.members)
        for one in Operations:
            operation = one if isinstance(one, dict) else {}
            what, path, value = (operation.get(field) for field in ("op", "path", "value"))
            if isinstance(value, dict):  # the other spelling of a path
                path, value = next(iter(value.items()), (path, None))
            member = _MEMBER.fullmatch(str(path))
            if path == "displayName" and isinstance(value, str):
                name = value
            elif what == "remove" and (member or path == "members"):
                gone = self._named([{"value": member[1]}] if member else value or [])
                members = [each for each in members if each not in gone] if gone else []
            elif path == "members" and isinstance(value, list) and what in {"add", "replace"}:
                members = list(dict.fromkeys([*(members if what == "add" else []), *self._named(value)]))
            else:
                raise invalid(
                    f"The sandbox does not support the operation {str(what)[:20]} on {str(path)[:100]}."
                )
        await self._groups.put(number, Group(name, members))

    async def delete(self, number: str) -> None:
        await self._groups.remove(number)

    def _named(self, members: Iterable[Any]) -> list[str]:
        """Return the names of members that are given by their ids."""
        names = {str(user.number): user.name for user in self._users.all()}
        found = [str(member.get("value")) if isinstance(member, dict) else "" for member in members]
        for number in found:
            if number not in names:
                raise missing(f"User with id {number[:100]} not found; the sandbox has no groups in groups.")
        return list(dict.fromkeys(names[number] for number in found))

    def _describe(self, number: str) -> dict[str, Any]:
        group = self._groups.get(number)
        names = [user.name for user in self._users.all()] if group.name == EVERYBODY else group.members
        members = [user for name in names if (user := self._users.named(name)) is not None]
        return {
            "schemas": [f"{_SCHEMA}Group"],
            "id": number,
            "displayName": group.name,
            "members": [
                {"value": str(user.number), "display": user.display or user.name} for user in members
            ],
            "meta": {"resourceType": "WorkspaceGroup"},
        }


def routes(users: Users, groups: Groups) -> list[Route]:
    """Return the routes of users, service principals and groups."""
    api, of_groups = _Api(users, groups), _GroupsApi(users, groups)
    table: dict[str, Handler] = {
        "POST /Users": api.create_user,
        "GET /Users": api.list_of(services=False),
        "GET /Users/{number}": api.get,
        "POST /ServicePrincipals": api.create_service_principal,
        "GET /ServicePrincipals": api.list_of(services=True),
        "GET /ServicePrincipals/{number}": api.get,
        "POST /Groups": of_groups.create,
        "GET /Groups": of_groups.list_page,
        "GET /Groups/{number}": of_groups.get,
        "PATCH /Groups/{number}": of_groups.patch,
        "DELETE /Groups/{number}": of_groups.delete,
    }
    return [*endpoints(table, PATH), endpoint("PUT", f"{PATH}/Groups/{{number}}", of_groups.replace, body)]


def _page(found: list[dict[str, Any]], wanted: str, start: int, count: int) -> dict[str, Any]:
    """Return the resources that a filter selects, from a position that counts from 1."""
    if wanted:
        parts = _FILTER.fullmatch(wanted)
        if parts is None:
            raise invalid(f"Invalid filter: {wanted[:200]}")
        field, how, value = parts.groups()
        named = [(one, {name.lower(): one[name] for name in one}.get(field.lower())) for one in found]
        found = [
            one for one, own in named if own is not None and _MATCHES[how](str(own).lower(), value.lower())
        ]
    shown = found[max(start, 1) - 1 :][: max(count, 0)]
    counts = {"totalResults": len(found), "startIndex": max(start, 1), "itemsPerPage": len(shown)}
    return {"schemas": [_LIST], **counts, "Resources": shown}
