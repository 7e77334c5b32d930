"""Large uploads of the Files API over HTTP, and the signed addresses that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body, query
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.volumes import upload_model
from kedro_databricks_hybrid.sandbox.volumes.model import VolumeFiles
from kedro_databricks_hybrid.sandbox.volumes.routes import MAX_FILE_BYTES, file_response
from kedro_databricks_hybrid.sandbox.volumes.upload_model import STORAGE_PATH, Uploads, check_part_number

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_MAX_URLS = 100
_TOO_LARGE = ApiError(413, "BAD_REQUEST", "The part is too large.")


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._uploads = Uploads(VolumeFiles(sandbox.unity_catalog), sandbox.layout.scratch)

    async def act(self, request: Request) -> Response:
        """Begin or complete an upload."""
        fields = query(request)
        path, owner = request.path_params["path"], request.state.user.name
        action = fields.text("action")
        if action == "initiate-upload":
            overwrite = fields.flag("overwrite", default=True)
            upload = await run_in_threadpool(self._uploads.begin, owner, path, overwrite=overwrite)
            return JSONResponse({f"{self._sandbox.uploads}_upload": {"session_token": upload.token}})
        if action == "complete-upload":
            upload = self._uploads.get(owner, path, fields.text("session_token"))
            parts = (await body(request)).items("parts")
            await run_in_threadpool(self._uploads.complete, upload, parts)
            return JSONResponse({})
        raise invalid(f"Unknown action {action[:50]!r}.")

    async def part_urls(self, request: Request) -> Response:
        fields = await body(request)
        upload = self._uploads.get(request.state.user.name, fields.text("path"), fields.text("session_token"))
        first, count = fields.number("start_part_number", 1), fields.number("count", 1)
        if not 1 <= count <= _MAX_URLS:
            raise invalid(f"count must be between 1 and {_MAX_URLS}.")
        check_part_number(first)
        urls: list[dict[str, Any]] = [
            {"url": self._signed(f"{upload.key}/{number}"), "part_number": number, "headers": []}
            for number in range(first, first + count)
        ]
        return JSONResponse({"upload_part_urls": urls})

    async def resumable_url(self, request: Request) -> Response:
        fields = await body(request)
        upload = self._uploads.get(request.state.user.name, fields.text("path"), fields.text("session_token"))
        return JSONResponse({"resumable_upload_url": {"url": self._signed(upload.key), "headers": []}})

    async def put_chunk(self, request: Request) -> Response:
        upload = self._uploads.by_key(request.path_params["key"])
        chunk = upload_model.chunk_of(request.headers.get("content-range", ""))
        async with received(request, self._sandbox.layout.scratch, MAX_FILE_BYTES, _TOO_LARGE) as file:
            if await run_in_threadpool(self._uploads.add_chunk, upload, chunk, file):
                return Response(status_code=200)
        kept = upload_model.arrived_bytes(upload)
        return Response(status_code=308, headers={"Range": f"bytes=0-{kept - 1}"} if kept else {})

    async def abort_url(self, request: Request) -> Response:
        fields = await body(request)
        upload = self._uploads.get(request.state.user.name, fields.text("path"), fields.text("session_token"))
        return JSONResponse({"abort_upload_url": {"url": self._signed(upload.key), "headers": []}})

    async def download_url(self, request: Request) -> Response:
        key = await run_in_threadpool(self._uploads.allow_download, query(request).text("path"))
        return JSONResponse({"url": self._signed(key), "headers": []})

    async def put_part(self, request: Request) -> Response:
        upload = self._uploads.by_key(request.path_params["key"])
        number = Fields(request.path_params).number("number")
        check_part_number(number)
        async with received(request, self._sandbox.layout.scratch, MAX_FILE_BYTES, _TOO_LARGE) as file:
            etag = await run_in_threadpool(self._uploads.keep_part, upload, number, file)
        return Response(status_code=200, headers={"ETag": etag})

    async def abort(self, request: Request) -> Response:
        upload = self._uploads.by_key(request.path_params["key"])
        await run_in_threadpool(self._uploads.drop, upload)
        return Response(status_code=204)

    async def download(self, request: Request) -> Response:
        disk_path = await run_in_threadpool(self._uploads.downloaded, request.path_params["key"])
        return await run_in_threadpool(file_response, request, disk_path)

    def _signed(self, rest: str) -> str:
        return f"{self._sandbox.url}{STORAGE_PATH}{rest}"


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox)
    return [
        Route("/api/2.0/fs/files{path:path}", api.act, methods=["POST"]),
        Route("/api/2.0/fs/create-upload-part-urls", api.part_urls, methods=["POST"]),
        Route("/api/2.0/fs/create-abort-upload-url", api.abort_url, methods=["POST"]),
        Route("/api/2.0/fs/create-download-url", api.download_url, methods=["POST"]),
        Route("/api/2.0/fs/create-resumable-upload-url", api.resumable_url, methods=["POST"]),
        Route(f"{STORAGE_PATH}{{key}}", api.put_chunk, methods=["PUT"]),
        Route(f"{STORAGE_PATH}{{key}}/{{number}}", api.put_part, methods=["PUT"]),
        Route(f"{STORAGE_PATH}{{key}}", api.abort, methods=["DELETE"]),
        Route(f"{STORAGE_PATH}{{key}}", api.download, methods=["GET"]),
    ]
