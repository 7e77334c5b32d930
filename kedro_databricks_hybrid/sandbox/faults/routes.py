"""The routes that control the sandbox: faults, and switches of the workspace.

Not part of Databricks' API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import invalid, missing
from kedro_databricks_hybrid.sandbox.core.fields import body, query
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import KINDS
from kedro_databricks_hybrid.sandbox.volumes.upload_model import UPLOADS

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.faults.rules import Faults
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

FAULTS_PATH = "/sandbox/faults"
SWITCHES_PATH = "/sandbox/switches"


def routes(faults: Faults) -> list[Route]:
    """Return the routes."""

    async def list_all(request: Request) -> Response:
        del request
        return JSONResponse({"faults": [fault.describe() for fault in faults.rules]})

    async def add(request: Request) -> Response:
        values = (await body(request)).without(set())
        return JSONResponse(faults.add(values.pop("effect", ""), **values).describe())

    async def clear(request: Request) -> Response:
        fields = query(request)
        number = fields.number("number") if fields.has("number") else None
        if number is not None and number not in {fault.number for fault in faults.rules}:
            raise missing(f"Fault {number} does not exist.")
        faults.clear(number)
        return JSONResponse({})

    return [
        Route(FAULTS_PATH, list_all, methods=["GET"]),
        Route(FAULTS_PATH, add, methods=["POST"]),
        Route(FAULTS_PATH, clear, methods=["DELETE"]),
    ]


def switch_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def show(request: Request) -> Response:
        del request
        return JSONResponse(
            {
                "like": sandbox.like,
                "public-dbfs-root": sandbox.public_dbfs_root,
                "task-environments": sandbox.task_environments,
                "uploads": sandbox.uploads,
            }
        )

    async def change(request: Request) -> Response:
        fields = await body(request)
        if fields.has("uploads"):
            uploads = fields.text("uploads")
            if uploads not in UPLOADS:
                raise invalid(f"uploads must be one of: {', '.join(UPLOADS)}.")
            sandbox.uploads = uploads
        if fields.has("like"):
            await _become(sandbox, fields.text("like"))
        if fields.has("public-dbfs-root"):
            sandbox.public_dbfs_root = fields.flag("public-dbfs-root")
        if fields.has("task-environments"):
            sandbox.task_environments = fields.flag("task-environments")
        return await show(request)

    return [Route(SWITCHES_PATH, show, methods=["GET"]), Route(SWITCHES_PATH, change, methods=["POST"])]


async def _become(sandbox: Sandbox, like: str) -> None:
    if like not in KINDS:
        raise invalid(f"like must be one of: {', '.join(KINDS)}.")
    if KINDS[like].access_mode is None:
        for cluster in sandbox.clusters.all():
            await sandbox.clusters.terminate(cluster.cluster_id)
    sandbox.like = like
