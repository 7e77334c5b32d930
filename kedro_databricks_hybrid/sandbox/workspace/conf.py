"""The workspace-conf API: settings of the workspace, which are kept and change nothing in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import malformed
from kedro_databricks_hybrid.sandbox.core.fields import body, query

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "workspace_conf"


class _Api:
    """The handlers of this family."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings: dict[str, str] = store.load(_DOCUMENT)

    async def get(self, request: Request) -> Response:
        keys = query(request).text("keys").split(",")
        return JSONResponse({key: self._settings.get(key) for key in keys})

    async def update(self, request: Request) -> Response:
        values = (await body(request)).without(set())
        for key, value in values.items():
            if not isinstance(value, str):
                raise malformed(f"Could not parse request object: field '{key}' must be a string")
        self._settings |= values
        await self._store.save(_DOCUMENT, self._settings)
        return Response(status_code=204)


def routes(store: Store) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(store)
    address = "/api/2.0/workspace-conf"
    return [Route(address, api.get, methods=["GET"]), Route(address, api.update, methods=["PATCH"])]
