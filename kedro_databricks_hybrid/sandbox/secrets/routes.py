"""The secrets API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Base64, Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import invalid, malformed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.permissions import Permission
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.secrets.model import Secrets

PATH = "/api/2.0/secrets"


class _Api:
    """The handlers of this family."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def create_scope(
        self,
        user: User,
        scope: Required,
        initial_manage_principal: str = "",
        scope_backend_type: str = "DATABRICKS",
    ) -> None:
        if initial_manage_principal not in {"", "users"}:
            raise invalid("The only supported principal for initial_manage_principal is 'users'")
        if scope_backend_type != "DATABRICKS":
            raise invalid("The sandbox supports only scopes with the backend DATABRICKS.")
        await self._secrets.add(user.name, scope, shared=initial_manage_principal == "users")

    async def list_scopes(self, user: User) -> dict[str, Any]:
        names = self._secrets.scopes(user.name)
        return {"scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in names]}

    async def delete_scope(self, user: User, scope: Required) -> None:
        await self._secrets.remove(user.name, scope)

    async def put(
        self,
        user: User,
        scope: Required,
        key: Required,
        string_value: str | None = None,
        bytes_value: Base64 | None = None,
    ) -> None:
        if (string_value is None) == (bytes_value is None):
            raise malformed("Exactly one of string_value and bytes_value must be given")
        value = bytes_value or (string_value or "").encode(errors="replace")
        await self._secrets.put(user.name, scope, key, value)

    async def get(self, request: Request, user: User, scope: Required, key: Required) -> dict[str, Any]:
        value = self._secrets.get(user.name, scope, key)
        if hasattr(request.state, "notebook"):
            request.state.notebook.note(value)
        return {"key": key, "value": value}

    async def list_secrets(self, user: User, scope: Required) -> dict[str, Any]:
        found = self._secrets.scope(user.name, scope)
        shown = [{"key": key, "last_updated_timestamp": found.changed[key]} for key in sorted(found.values)]
        return {"secrets": shown} if shown else {}

    async def delete(self, user: User, scope: Required, key: Required) -> None:
        await self._secrets.delete(user.name, scope, key)

    async def put_acl(self, user: User, scope: Required, principal: Required, permission: Required) -> None:
        await self._secrets.permit(user.name, scope, principal, permission)

    async def get_acl(self, user: User, scope: Required, principal: Required) -> dict[str, Any]:
        return _acl(self._secrets.entry_of(user.name, scope, principal))

    async def list_acls(self, user: User, scope: Required) -> dict[str, Any]:
        return {"items": [_acl(entry) for entry in self._secrets.access_list(user.name, scope)]}

    async def delete_acl(self, user: User, scope: Required, principal: Required) -> None:
        await self._secrets.withdraw(user.name, scope, principal)


def _acl(entry: Permission) -> dict[str, Any]:
    return {"principal": entry.name, "permission": entry.level}


def routes(secrets: Secrets) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(secrets)
    table: dict[str, Handler] = {
        "POST /scopes/create": api.create_scope,
        "GET /scopes/list": api.list_scopes,
        "POST /scopes/delete": api.delete_scope,
        "POST /put": api.put,
        "GET /get": api.get,
        "GET /list": api.list_secrets,
        "POST /delete": api.delete,
        "POST /acls/put": api.put_acl,
        "GET /acls/get": api.get_acl,
        "GET /acls/list": api.list_acls,
        "POST /acls/delete": api.delete_acl,
    }
    return endpoints(table, PATH)
