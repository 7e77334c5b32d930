"""The Files API over HTTP."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from kedro_databricks_hybrid.sandbox.core.bodies import Flag, Integer
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.volumes.model import MAX_PAGE, VolumeFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_FILE_BYTES = 5 * 1024**3
_TOO_LARGE = ApiError(413, "BAD_REQUEST", f"The file is larger than the limit of {MAX_FILE_BYTES} bytes.")
_BYTES = "application/octet-stream"


class _FilesApi:
    """The handlers of this family."""

    def __init__(self, files: VolumeFiles, scratch: Path) -> None:
        self._files = files
        self._scratch = scratch

    async def put_file(self, request: Request, path: str, overwrite: Flag = True) -> Response:
        await run_in_threadpool(self._files.check_writable, path, overwrite=overwrite)
        async with received(request, self._scratch, MAX_FILE_BYTES, _TOO_LARGE) as upload:
            await run_in_threadpool(self._files.put_in_place, upload, path, overwrite=overwrite)
        return Response(status_code=204)

    def get_file(self, request: Request, path: str) -> Response:
        return file_response(request, self._files.file(path))

    def get_directory(
        self, request: Request, path: str, page_size: Integer = 0, page_token: Token = 0
    ) -> dict[str, Any] | Response:
        if request.method == "HEAD":
            self._files.folder(path)
            return Response(status_code=200)
        part = Page(page_token, min(page_size, MAX_PAGE) if page_size > 0 else MAX_PAGE)
        entries, total = self._files.list_folder(path, part)
        return {**({"contents": entries} if entries else {}), **part.next(total)}


def _silent(act: Callable[[str], None]) -> Handler:
    """Return a handler whose answer is empty."""

    def handler(path: str) -> Response:
        act(path)
        return Response(status_code=204)

    return handler


def file_response(request: Request, disk_path: Path) -> Response:
    """Send a file or the requested range of it, unless it changed after `If-Unmodified-Since`."""
    status = disk_path.stat()
    condition = request.headers.get("if-unmodified-since")
    if condition is not None:
        try:
            limit = parsedate_to_datetime(condition).timestamp()
        except (ValueError, TypeError, OverflowError):
            limit = float("inf")  # HTTP ignores an invalid date
        if int(status.st_mtime) > limit:
            raise ApiError(412, "PRECONDITION_FAILED", "The file has been modified.")
    return FileResponse(disk_path, media_type=_BYTES, stat_result=status)


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    files = VolumeFiles(sandbox.unity_catalog)
    api = _FilesApi(files, sandbox.layout.scratch)
    table: dict[str, Handler] = {
        "PUT /files{path:path}": api.put_file,
        "GET /files{path:path}": api.get_file,
        "DELETE /files{path:path}": _silent(files.delete_file),
        "PUT /directories{path:path}": _silent(files.make_folder),
        "GET /directories{path:path}": api.get_directory,
        "DELETE /directories{path:path}": _silent(files.delete_folder),
    }
    return endpoints(table, "/api/2.0/fs")
