"""The DBFS API over HTTP.

In an upload by blocks a handle names a file that is created when the handle is closed.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, missing
from kedro_databricks_hybrid.sandbox.core.fields import body, form, query
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.uploads import new_upload, save
from kedro_databricks_hybrid.sandbox.dbfs.model import DEFAULT_READ_BYTES, Dbfs

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_FORM_BYTES = 2 * 1024 * 1024 * 1024
_FORM_TOO_LARGE = ApiError(
    400, "MAX_BLOCK_SIZE_EXCEEDED", f"The file exceeds the limit of {MAX_FORM_BYTES} bytes."
)
MAX_BLOCK_BYTES = 1024 * 1024
IDLE_SECONDS = 600.0


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


@dataclass
class _Stream:
    owner: str
    path: str
    overwrite: bool
    upload: Path
    used: float


class DbfsStreams:
    """The open handles; an idle one is dropped, and its file is not created.

    Attributes:
        idle_seconds: After how many idle seconds a handle is dropped.
    """

    def __init__(self, dbfs: Dbfs, scratch: Path) -> None:
        self.idle_seconds = IDLE_SECONDS
        self._dbfs = dbfs
        self._scratch = scratch
        self._streams: dict[int, _Stream] = {}

    def create(self, owner: str, path: str, *, overwrite: bool) -> int:
        """Open a handle for a new file, or refuse."""
        self._drop_idle()
        self._dbfs.check_writable(path, overwrite=overwrite)
        handle = new_id()
        upload = self._scratch / f"stream-{handle}"
        upload.touch(mode=0o600)
        self._streams[handle] = _Stream(owner, path, overwrite, upload, time.monotonic())
        return handle

    def add_block(self, owner: str, handle: int, data: bytes) -> None:
        """Append a block of at most one megabyte."""
        stream = self._open(owner, handle)
        check_block(data)
        with stream.upload.open("ab") as file:
            file.write(data)
        stream.used = time.monotonic()

    def close(self, owner: str, handle: int) -> None:
        """Close a handle and create its file."""
        stream = self._open(owner, handle)
        del self._streams[handle]
        try:
            self._dbfs.put_in_place(stream.upload, stream.path, overwrite=stream.overwrite)
        finally:
            stream.upload.unlink(missing_ok=True)

    def _open(self, owner: str, handle: int) -> _Stream:
        self._drop_idle()
        stream = self._streams.get(handle)
        if stream is None or stream.owner != owner:
            raise missing(f"No stream opened with handle {handle}.")
        return stream

    def _drop_idle(self) -> None:
        now = time.monotonic()
        for handle, stream in list(self._streams.items()):
            if now - stream.used > self.idle_seconds:
                self._streams.pop(handle, None)
                stream.upload.unlink(missing_ok=True)


def check_block(data: bytes) -> None:
    """Refuse a block that is larger than one request may carry."""
    if len(data) > MAX_BLOCK_BYTES:
        raise ApiError(
            400, "MAX_BLOCK_SIZE_EXCEEDED", f"The block of data exceeds the limit of {MAX_BLOCK_BYTES} bytes."
        )
