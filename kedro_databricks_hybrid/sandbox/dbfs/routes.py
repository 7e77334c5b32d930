"""The DBFS API over HTTP.

In an upload by blocks a handle names a file that is created when the handle is closed.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.bodies import (
    Base64,
    Body,
    Flag,
    Integer,
    Required,
    body,
    form,
    parse,
)
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, missing
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.uploads import new_upload, save
from kedro_databricks_hybrid.sandbox.dbfs.model import DEFAULT_READ_BYTES, Dbfs

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_FORM_BYTES = 2 * 1024 * 1024 * 1024
_FORM_TOO_LARGE = ApiError(
    400, "MAX_BLOCK_SIZE_EXCEEDED", f"The file exceeds the limit of {MAX_FORM_BYTES} bytes."
)
MAX_BLOCK_BYTES = 1024 * 1024
IDLE_SECONDS = 600.0


class _Put(Body):
    path: Required
    overwrite: Flag = False
    contents: Base64 = b""


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox, dbfs: Dbfs) -> None:
        self._dbfs = dbfs
        self._scratch = sandbox.layout.scratch
        self._streams = DbfsStreams(dbfs, self._scratch)

    def get_status(self, path: Required) -> dict[str, Any]:
        return self._dbfs.status(path)

    def list_folder(self, path: Required) -> dict[str, Any]:
        files = self._dbfs.list_folder(path)
        return {"files": files} if files else {}

    def mkdirs(self, path: Required) -> None:
        self._dbfs.mkdirs(path)

    async def put(self, request: Request) -> Response:
        upload = new_upload(self._scratch)
        try:
            if request.headers.get("content-type", "").startswith("multipart/"):
                async with form(request, MAX_FORM_BYTES, _FORM_TOO_LARGE) as (texts, file):
                    given = parse(_Put, texts)
                    await run_in_threadpool(save, file, upload)
            else:
                given = parse(_Put, await body(request))
                check_block(given.contents)
                await run_in_threadpool(upload.write_bytes, given.contents)
            await run_in_threadpool(self._dbfs.put_in_place, upload, given.path, overwrite=given.overwrite)
        finally:
            upload.unlink(missing_ok=True)
        return JSONResponse({})

    def create(self, user: User, path: Required, overwrite: Flag = False) -> dict[str, Any]:
        return {"handle": self._streams.create(user.name, path, overwrite=overwrite)}

    def add_block(self, user: User, handle: Integer, data: Base64 = b"") -> None:
        self._streams.add_block(user.name, handle, data)

    def close(self, user: User, handle: Integer) -> None:
        self._streams.close(user.name, handle)

    def read(
        self, path: Required, offset: Integer = 0, length: Integer = DEFAULT_READ_BYTES
    ) -> dict[str, Any]:
        data = self._dbfs.read(path, offset, length)
        return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}

    def delete(self, path: Required, recursive: Flag = False) -> None:
        self._dbfs.delete(path, recursive=recursive)

    def move(self, source_path: Required, destination_path: Required) -> None:
        self._dbfs.move(source_path, destination_path)


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox, Dbfs(sandbox))
    table: dict[str, Handler] = {
        "GET /get-status": api.get_status,
        "GET /list": api.list_folder,
        "POST /mkdirs": api.mkdirs,
        "POST /create": api.create,
        "POST /add-block": api.add_block,
        "POST /close": api.close,
        "GET /read": api.read,
        "POST /delete": api.delete,
        "POST /move": api.move,
    }
    base = "/api/2.0/dbfs"
    return [*endpoints(table, base), Route(f"{base}/put", api.put, methods=["POST"])]


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
