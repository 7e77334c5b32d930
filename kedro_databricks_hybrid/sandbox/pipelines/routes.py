"""Pipelines: a bundle can deploy them, and they are kept and shown; the sandbox cannot run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Integer, body, without
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint, endpoints
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token
from kedro_databricks_hybrid.sandbox.core.records import CREATOR, RecordKind

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.records import Records
    from kedro_databricks_hybrid.sandbox.core.users import User

PIPELINES = RecordKind("pipelines", "Pipeline", "pipeline_id", "name", "last_modified")
_PATH = "/api/2.0/pipelines"
_MAX_PAGE = 100
_CANNOT_RUN = (
    "The sandbox keeps pipelines but cannot run them. Run the other tasks of the job alone, or leave the "
    "pipeline out of the target that is deployed to the sandbox."
)


class _Api:
    """The handlers of this family."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def create(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        return {"pipeline_id": await self._records.create(user.name, given)}

    async def list_page(self, max_results: Integer = 25, page_token: Token = 0) -> dict[str, Any]:
        part = Page(page_token, min(max(max_results, 1), _MAX_PAGE))
        found = self._records.all()
        statuses = [without(_describe(one), "spec", "last_modified") for one in part.of(found)]
        return {"statuses": statuses, **part.next(len(found))}

    async def get(self, pipeline_id: str) -> dict[str, Any]:
        return _describe(self._records.get(pipeline_id))

    async def edit(self, given: dict[str, Any], pipeline_id: str) -> None:
        await self._records.edit(pipeline_id, without(given, "pipeline_id"), whole=True)

    async def delete(self, pipeline_id: str) -> None:
        await self._records.remove(pipeline_id)

    async def start(self, pipeline_id: str) -> None:
        self._records.get(pipeline_id)
        raise invalid(_CANNOT_RUN)

    async def stop(self, pipeline_id: str) -> None:
        self._records.get(pipeline_id)


def routes(records: Records) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(records)
    table: dict[str, Handler] = {
        "POST ": api.create,
        "GET ": api.list_page,
        "GET /{pipeline_id}": api.get,
        "DELETE /{pipeline_id}": api.delete,
        "POST /{pipeline_id}/updates": api.start,
        "POST /{pipeline_id}/stop": api.stop,
    }
    return [*endpoints(table, _PATH), endpoint("PUT", f"{_PATH}/{{pipeline_id}}", api.edit, body)]


def _describe(record: dict[str, Any]) -> dict[str, Any]:
    """Return a pipeline as `get` shows it: what was given is its spec."""
    own = ("pipeline_id", "name", CREATOR, "last_modified")
    spec = {"id": record["pipeline_id"], **without(record, "pipeline_id", CREATOR, "last_modified")}
    shown = {name: record[name] for name in own}
    return {**shown, "run_as_user_name": record[CREATOR], "state": "IDLE", "spec": spec}
