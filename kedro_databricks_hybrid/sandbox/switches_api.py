"""What a workspace may have or not have, switched by whoever runs the sandbox; no part of Databricks' API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.answers import invalid
from kedro_databricks_hybrid.sandbox.fields import body
from kedro_databricks_hybrid.sandbox.sandbox import UPLOADS

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox

PATH = "/sandbox/switches"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    async def show(request: Request) -> Response:
        del request
        return JSONResponse({"public-dbfs-root": sandbox.public_dbfs_root, "uploads": sandbox.uploads})

    async def change(request: Request) -> Response:
        fields = await body(request)
        if fields.has("uploads"):
            uploads = fields.text("uploads")
            if uploads not in UPLOADS:
                raise invalid(f"uploads must be one of: {', '.join(UPLOADS)}.")
            sandbox.uploads = uploads
        if fields.has("public-dbfs-root"):
            sandbox.public_dbfs_root = fields.flag("public-dbfs-root")
        return await show(request)

    return [Route(PATH, show, methods=["GET"]), Route(PATH, change, methods=["POST"])]
