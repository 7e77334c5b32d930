"""The DBFS API over HTTP."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.answers import ApiError
from kedro_databricks_hybrid.sandbox.dbfs import DEFAULT_READ_BYTES, Dbfs
from kedro_databricks_hybrid.sandbox.dbfs_streams import DbfsStreams, check_block
from kedro_databricks_hybrid.sandbox.fields import body, form, query
from kedro_databricks_hybrid.sandbox.uploads import new_upload, save

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox

MAX_FORM_BYTES = 2 * 1024 * 1024 * 1024
_FORM_TOO_LARGE = ApiError(
    400, "MAX_BLOCK_SIZE_EXCEEDED", f"The file exceeds the limit of {MAX_FORM_BYTES} bytes."
)


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox, dbfs: Dbfs) -> None:
        self._dbfs = dbfs
        self._scratch = sandbox.layout.scratch
        self._streams = DbfsStreams(dbfs, self._scratch)

    async def get_status(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._dbfs.status, query(request).text("path")))

    async def list_folder(self, request: Request) -> Response:
        files = await run_in_threadpool(self._dbfs.list_folder, query(request).text("path"))
        return JSONResponse({"files": files} if files else {})

    async def mkdirs(self, request: Request) -> Response:
        await run_in_threadpool(self._dbfs.mkdirs, (await body(request)).text("path"))
        return JSONResponse({})

    async def put(self, request: Request) -> Response:
        upload = new_upload(self._scratch)
        try:
            if request.headers.get("content-type", "").startswith("multipart/"):
                async with form(request, MAX_FORM_BYTES, _FORM_TOO_LARGE) as (fields, file):
                    await run_in_threadpool(save, file, upload)
            else:
                fields = await body(request)
                content = fields.content("contents")
                check_block(content)
                await run_in_threadpool(upload.write_bytes, content)
            await run_in_threadpool(
                self._dbfs.put_in_place, upload, fields.text("path"), overwrite=fields.flag("overwrite")
            )
        finally:
            upload.unlink(missing_ok=True)
        return JSONResponse({})

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        handle = await run_in_threadpool(
            self._streams.create,
            request.state.user.name,
            fields.text("path"),
            overwrite=fields.flag("overwrite"),
        )
        return JSONResponse({"handle": handle})

    async def add_block(self, request: Request) -> Response:
        fields = await body(request)
        await run_in_threadpool(
            self._streams.add_block,
            request.state.user.name,
            fields.number("handle"),
            fields.content("data"),
        )
        return JSONResponse({})

    async def close(self, request: Request) -> Response:
        handle = (await body(request)).number("handle")
        await run_in_threadpool(self._streams.close, request.state.user.name, handle)
        return JSONResponse({})

    async def read(self, request: Request) -> Response:
        fields = query(request)
        data = await run_in_threadpool(
            self._dbfs.read,
            fields.text("path"),
            fields.number("offset", 0),
            fields.number("length", DEFAULT_READ_BYTES),
        )
        return JSONResponse({"bytes_read": len(data), "data": base64.b64encode(data).decode()})

    async def delete(self, request: Request) -> Response:
        fields = await body(request)
        await run_in_threadpool(self._dbfs.delete, fields.text("path"), recursive=fields.flag("recursive"))
        return JSONResponse({})

    async def move(self, request: Request) -> Response:
        fields = await body(request)
        await run_in_threadpool(self._dbfs.move, fields.text("source_path"), fields.text("destination_path"))
        return JSONResponse({})


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox, Dbfs(sandbox))
    base = "/api/2.0/dbfs"
    return [
        Route(f"{base}/get-status", api.get_status, methods=["GET"]),
        Route(f"{base}/list", api.list_folder, methods=["GET"]),
        Route(f"{base}/mkdirs", api.mkdirs, methods=["POST"]),
        Route(f"{base}/put", api.put, methods=["POST"]),
        Route(f"{base}/create", api.create, methods=["POST"]),
        Route(f"{base}/add-block", api.add_block, methods=["POST"]),
        Route(f"{base}/close", api.close, methods=["POST"]),
        Route(f"{base}/read", api.read, methods=["GET"]),
        Route(f"{base}/delete", api.delete, methods=["POST"]),
        Route(f"{base}/move", api.move, methods=["POST"]),
    ]
