"""The Files API over HTTP: files and directories in volumes."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.answers import ApiError
from kedro_databricks_hybrid.sandbox.fields import page_offset, query
from kedro_databricks_hybrid.sandbox.uploads import received
from kedro_databricks_hybrid.sandbox.volume_files import MAX_PAGE, VolumeFiles

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox

MAX_FILE_BYTES = 5 * 1024**3
_TOO_LARGE = ApiError(413, "BAD_REQUEST", f"The file is larger than the limit of {MAX_FILE_BYTES} bytes.")
_BYTES = "application/octet-stream"


class _Api:
    """The handlers of this family."""

    def __init__(self, files: VolumeFiles, scratch: Path) -> None:
        self._files = files
        self._scratch = scratch

    async def put_file(self, request: Request) -> Response:
        path = request.path_params["path"]
        overwrite = query(request).flag("overwrite", default=True)
        await run_in_threadpool(self._files.check_writable, path, overwrite=overwrite)
        async with received(request, self._scratch, MAX_FILE_BYTES, _TOO_LARGE) as upload:
            await run_in_threadpool(self._files.put_in_place, upload, path, overwrite=overwrite)
        return Response(status_code=204)

    async def get_file(self, request: Request) -> Response:
        place = await run_in_threadpool(self._files.file, request.path_params["path"])
        return await run_in_threadpool(file_response, request, place)

    async def delete_file(self, request: Request) -> Response:
        await run_in_threadpool(self._files.delete_file, request.path_params["path"])
        return Response(status_code=204)

    async def put_directory(self, request: Request) -> Response:
        await run_in_threadpool(self._files.make_folder, request.path_params["path"])
        return Response(status_code=204)

    async def get_directory(self, request: Request) -> Response:
        path = request.path_params["path"]
        if request.method == "HEAD":
            await run_in_threadpool(self._files.folder, path)
            return Response(status_code=200)
        fields = query(request)
        start = page_offset(fields)
        size = fields.number("page_size", MAX_PAGE)
        size = min(size, MAX_PAGE) if size > 0 else MAX_PAGE
        page, more = await run_in_threadpool(self._files.list_folder, path, start, size)
        answer: dict[str, Any] = {"contents": page} if page else {}
        if more:
            answer["next_page_token"] = str(start + size)
        return JSONResponse(answer)

    async def delete_directory(self, request: Request) -> Response:
        await run_in_threadpool(self._files.delete_folder, request.path_params["path"])
        return Response(status_code=204)


def file_response(request: Request, place: Path) -> Response:
    """Answer with a file, or the part asked for, unless it is newer than the client wants."""
    status = place.stat()
    condition = request.headers.get("if-unmodified-since")
    if condition is not None:
        try:
            limit = parsedate_to_datetime(condition).timestamp()
        except (ValueError, TypeError, OverflowError):
            limit = float("inf")  # a date that is none is ignored, as HTTP has it
        if int(status.st_mtime) > limit:
            raise ApiError(412, "PRECONDITION_FAILED", "The file has been modified.")
    return FileResponse(place, media_type=_BYTES, stat_result=status)


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(VolumeFiles(sandbox.unity_catalog), sandbox.layout.scratch)
    files, directories = "/api/2.0/fs/files{path:path}", "/api/2.0/fs/directories{path:path}"
    return [
        Route(files, api.put_file, methods=["PUT"]),
        Route(files, api.get_file, methods=["GET", "HEAD"]),
        Route(files, api.delete_file, methods=["DELETE"]),
        Route(directories, api.put_directory, methods=["PUT"]),
        Route(directories, api.get_directory, methods=["GET", "HEAD"]),
        Route(directories, api.delete_directory, methods=["DELETE"]),
    ]
