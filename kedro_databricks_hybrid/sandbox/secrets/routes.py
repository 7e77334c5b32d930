"""The secrets API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import invalid, malformed
from kedro_databricks_hybrid.sandbox.core.fields import body, query

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.secrets.model import Secrets

PATH = "/api/2.0/secrets"


class _Api:
    """The handlers of this family."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def create_scope(self, request: Request) -> Response:
        fields = await body(request)
        principal = fields.text("initial_manage_principal", "")
        if principal not in {"", "users"}:
            raise invalid("The only supported principal for initial_manage_principal is 'users'")
        if fields.text("scope_backend_type", "DATABRICKS") != "DATABRICKS":
            raise invalid("The sandbox supports only scopes with the backend DATABRICKS.")
        await self._secrets.add(request.state.user.name, fields.text("scope"), shared=principal == "users")
        return JSONResponse({})

    async def list_scopes(self, request: Request) -> Response:
        names = self._secrets.scopes(request.state.user.name)
        return JSONResponse({"scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in names]})

    async def delete_scope(self, request: Request) -> Response:
        await self._secrets.remove(request.state.user.name, (await body(request)).text("scope"))
        return JSONResponse({})

    async def put(self, request: Request) -> Response:
        fields = await body(request)
        if fields.has("string_value") == fields.has("bytes_value"):
            raise malformed("Exactly one of string_value and bytes_value must be given")
        value = fields.content("bytes_value") or fields.text("string_value", "").encode(errors="replace")
        await self._secrets.put(request.state.user.name, fields.text("scope"), fields.text("key"), value)
        return JSONResponse({})

    async def get(self, request: Request) -> Response:
        fields = query(request)
        scope, key = fields.text("scope"), fields.text("key")
        value = self._secrets.get(request.state.user.name, scope, key)
        if hasattr(request.state, "notebook"):
            request.state.notebook.note(value)
        return JSONResponse({"key": key, "value": value})

    async def list_secrets(self, request: Request) -> Response:
        scope = self._secrets.scope(request.state.user.name, query(request).text("scope"))
        shown = [{"key": key, "last_updated_timestamp": scope.changed[key]} for key in sorted(scope.values)]
        return JSONResponse({"secrets": shown} if shown else {})

    async def delete(self, request: Request) -> Response:
        fields = await body(request)
        await self._secrets.delete(request.state.user.name, fields.text("scope"), fields.text("key"))
        return JSONResponse({})


def routes(secrets: Secrets) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(secrets)
    return [
        Route(f"{PATH}/scopes/create", api.create_scope, methods=["POST"]),
        Route(f"{PATH}/scopes/list", api.list_scopes, methods=["GET"]),
        Route(f"{PATH}/scopes/delete", api.delete_scope, methods=["POST"]),
        Route(f"{PATH}/put", api.put, methods=["POST"]),
        Route(f"{PATH}/get", api.get, methods=["GET"]),
        Route(f"{PATH}/list", api.list_secrets, methods=["GET"]),
        Route(f"{PATH}/delete", api.delete, methods=["POST"]),
    ]
