"""The secrets API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Base64, Body, Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.core.errors import invalid, malformed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.secrets.model import Secrets

PATH = "/api/2.0/secrets"


class _Scope(Body):
    scope: Required


class _CreateScope(_Scope):
    initial_manage_principal: str = ""
    scope_backend_type: str = "DATABRICKS"


class _Secret(_Scope):
    key: Required


class _Put(_Secret):
    string_value: str | None = None
    bytes_value: Base64 | None = None


class _Api:
    """The handlers of this family."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def create_scope(self, request: Request, given: _CreateScope) -> None:
        if given.initial_manage_principal not in {"", "users"}:
            raise invalid("The only supported principal for initial_manage_principal is 'users'")
        if given.scope_backend_type != "DATABRICKS":
            raise invalid("The sandbox supports only scopes with the backend DATABRICKS.")
        shared = given.initial_manage_principal == "users"
        await self._secrets.add(request.state.user.name, given.scope, shared=shared)

    async def list_scopes(self, request: Request, given: Body) -> dict[str, Any]:
        names = self._secrets.scopes(request.state.user.name)
        return {"scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in names]}

    async def delete_scope(self, request: Request, given: _Scope) -> None:
        await self._secrets.remove(request.state.user.name, given.scope)

    async def put(self, request: Request, given: _Put) -> None:
        if (given.string_value is None) == (given.bytes_value is None):
            raise malformed("Exactly one of string_value and bytes_value must be given")
        value = given.bytes_value or (given.string_value or "").encode(errors="replace")
        await self._secrets.put(request.state.user.name, given.scope, given.key, value)

    async def get(self, request: Request, given: _Secret) -> dict[str, Any]:
        value = self._secrets.get(request.state.user.name, given.scope, given.key)
        if hasattr(request.state, "notebook"):
            request.state.notebook.note(value)
        return {"key": given.key, "value": value}

    async def list_secrets(self, request: Request, given: _Scope) -> dict[str, Any]:
        scope = self._secrets.scope(request.state.user.name, given.scope)
        shown = [{"key": key, "last_updated_timestamp": scope.changed[key]} for key in sorted(scope.values)]
        return {"secrets": shown} if shown else {}

    async def delete(self, request: Request, given: _Secret) -> None:
        await self._secrets.delete(request.state.user.name, given.scope, given.key)


def routes(secrets: Secrets) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(secrets)
    return [
        endpoint("POST", f"{PATH}/scopes/create", _CreateScope, api.create_scope),
        endpoint("GET", f"{PATH}/scopes/list", Body, api.list_scopes),
        endpoint("POST", f"{PATH}/scopes/delete", _Scope, api.delete_scope),
        endpoint("POST", f"{PATH}/put", _Put, api.put),
        endpoint("GET", f"{PATH}/get", _Secret, api.get),
        endpoint("GET", f"{PATH}/list", _Scope, api.list_secrets),
        endpoint("POST", f"{PATH}/delete", _Secret, api.delete),
    ]
