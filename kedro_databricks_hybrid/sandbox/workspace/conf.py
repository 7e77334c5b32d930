"""The workspace-conf API: settings of the workspace, which are kept and change nothing in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from kedro_databricks_hybrid.sandbox.core.bodies import Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import malformed

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "workspace_conf"


class _Api:
    """The handlers of this family."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings = store.load(_DOCUMENT, dict[str, str])

    async def get(self, keys: Required) -> dict[str, Any]:
        return {key: self._settings.get(key) for key in keys.split(",")}

    async def update(self, given: dict[str, Any]) -> Response:
        for key, value in given.items():
            if not isinstance(value, str):
                raise malformed(f"Could not parse request object: field '{key}' must be a string")
        self._settings |= given
        await self._store.save(_DOCUMENT, self._settings)
        return Response(status_code=204)


def routes(store: Store) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(store)
    table: dict[str, Handler] = {"GET ": api.get, "PATCH ": api.update}
    return endpoints(table, "/api/2.0/workspace-conf")
