"""Large uploads of the Files API over HTTP, and the signed addresses that they use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from kedro_databricks_hybrid.sandbox.core.bodies import Array, Flag, Integer, Required, body, query
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint, endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.volumes import upload_model
from kedro_databricks_hybrid.sandbox.volumes.model import VolumeFiles
from kedro_databricks_hybrid.sandbox.volumes.routes import MAX_FILE_BYTES, file_response
from kedro_databricks_hybrid.sandbox.volumes.upload_model import STORAGE_PATH, Uploads, check_part_number

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_MAX_URLS = 100
_TOO_LARGE = ApiError(413, "BAD_REQUEST", "The part is too large.")


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._uploads = Uploads(VolumeFiles(sandbox.unity_catalog), sandbox.layout.scratch)

    async def act(
        self,
        user: User,
        path: str,
        action: Required,
        parts: Array,
        session_token: str = "",
        overwrite: Flag = True,
    ) -> dict[str, Any]:
        """Begin or complete an upload."""
        if action == "initiate-upload":
            upload = await run_in_threadpool(self._uploads.begin, user.name, path, overwrite=overwrite)
            return {f"{self._sandbox.uploads}_upload": {"session_token": upload.token}}
        if action == "complete-upload":
            upload = self._uploads.get(user.name, path, session_token)
            await run_in_threadpool(self._uploads.complete, upload, parts)
            return {}
        raise invalid(f"Unknown action {action[:50]!r}.")

    async def part_urls(
        self,
        user: User,
        path: Required,
        session_token: Required,
        start_part_number: Integer = 1,
        count: Integer = 1,
    ) -> dict[str, Any]:
        upload = self._uploads.get(user.name, path, session_token)
        if not 1 <= count <= _MAX_URLS:
            raise invalid(f"count must be between 1 and {_MAX_URLS}.")
        check_part_number(start_part_number)
        urls = [
            {**self._signed(f"{upload.key}/{number}"), "part_number": number}
            for number in range(start_part_number, start_part_number + count)
        ]
        return {"upload_part_urls": urls}

    def url_as(self, name: str) -> Handler:
        """Return a handler that returns the address of an upload by that name."""

        async def handler(user: User, path: Required, session_token: Required) -> dict[str, Any]:
            return {name: self._signed(self._uploads.get(user.name, path, session_token).key)}

        return handler

    def download_url(self, path: Required) -> dict[str, Any]:
        return self._signed(self._uploads.allow_download(path))

    async def put_chunk(self, request: Request, key: str) -> Response:
        upload = self._uploads.by_key(key)
        chunk = upload_model.chunk_of(request.headers.get("content-range", ""))
        async with received(request, self._sandbox.layout.scratch, MAX_FILE_BYTES, _TOO_LARGE) as file:
            if await run_in_threadpool(self._uploads.add_chunk, upload, chunk, file):
                return Response(status_code=200)
        kept = upload_model.arrived_bytes(upload)
        return Response(status_code=308, headers={"Range": f"bytes=0-{kept - 1}"} if kept else {})

    async def put_part(self, request: Request, key: str, number: Integer) -> Response:
        upload = self._uploads.by_key(key)
        check_part_number(number)
        async with received(request, self._sandbox.layout.scratch, MAX_FILE_BYTES, _TOO_LARGE) as file:
            etag = await run_in_threadpool(self._uploads.keep_part, upload, number, file)
        return Response(status_code=200, headers={"ETag": etag})

    def abort(self, key: str) -> Response:
        self._uploads.drop(self._uploads.by_key(key))
        return Response(status_code=204)

    def download(self, request: Request, key: str) -> Response:
        return file_response(request, self._uploads.downloaded(key))

    def _signed(self, rest: str) -> dict[str, Any]:
        return {"url": f"{self._sandbox.url}{STORAGE_PATH}{rest}", "headers": []}


async def _query_and_body(request: Request) -> dict[str, Any]:
    return await query(request) | await body(request)


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox)
    base = "/api/2.0/fs"
    table: dict[str, Handler] = {
        "POST /create-upload-part-urls": api.part_urls,
        "POST /create-abort-upload-url": api.url_as("abort_upload_url"),
        "POST /create-resumable-upload-url": api.url_as("resumable_upload_url"),
    }
    storage: dict[str, Handler] = {
        "PUT {key}": api.put_chunk,
        "PUT {key}/{number}": api.put_part,
        "DELETE {key}": api.abort,
        "GET {key}": api.download,
    }
    return [
        endpoint("POST", f"{base}/files{{path:path}}", api.act, _query_and_body),
        endpoint("POST", f"{base}/create-download-url", api.download_url, query),
        *endpoints(table, base),
        *endpoints(storage, STORAGE_PATH),
    ]
