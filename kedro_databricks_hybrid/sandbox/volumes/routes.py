"""The Files API over HTTP, and the API of Unity Catalog as far as volumes need it."""

from __future__ import annotations

import uuid
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pydantic import create_model
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Flag, Integer, Required, parse
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.volumes.model import MAX_PAGE, VolumeFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.volumes.model import UnityCatalog
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


class _UnityCatalogApi:
    """The handlers of one kind of object.

    Args:
        catalog: All objects.
        kind: The plural in the address: catalogs, schemas or volumes.
        parents: The fields that name the parents of such an object.
    """

    def __init__(self, catalog: UnityCatalog, kind: str, parents: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._kind = kind
        fields: dict[str, Any] = dict.fromkeys(parents, (Required, ...))
        self._parents = create_model("Parents", __base__=Body, **fields)
        self._depth = len(parents)

    async def create(
        self, user: User, given: dict[str, Any], name: Required, comment: str = "", volume_type: str = ""
    ) -> dict[str, Any]:
        if self._kind == "volumes" and volume_type != "MANAGED":
            raise invalid("The sandbox supports managed volumes only.")
        return await self._catalog.create((*self._parents_in(given), name.lower()), user.name, comment)

    async def list_all(self, given: dict[str, Any]) -> dict[str, Any]:
        return {self._kind: self._catalog.below(self._parents_in(given))}

    async def get(self, full_name: str) -> dict[str, Any]:
        return self._catalog.get(self._names(full_name))

    async def delete(self, full_name: str, force: Flag = False) -> None:
        await self._catalog.remove(self._names(full_name), force=force)

    def _parents_in(self, given: dict[str, Any]) -> tuple[str, ...]:
        return tuple(name.lower() for _, name in parse(self._parents, given))

    def _names(self, full_name: str) -> tuple[str, ...]:
        names = tuple(full_name.lower().split("."))
        if len(names) != self._depth + 1 or not all(names):
            raise invalid(f"'{full_name[:300]}' is not a full name of {self._kind}.")
        return names


# Not verified against a live workspace: the status. Code and message are verified.
NO_METASTORE = "No metastore assigned for the current workspace."


def unity_catalog_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""

    def metastore_id() -> str:
        """Return the id of the metastore; without Unity Catalog, none is assigned to the workspace."""
        if not sandbox.kind.metastore:
            raise ApiError(404, "METASTORE_DOES_NOT_EXIST", NO_METASTORE)
        return str(uuid.uuid5(uuid.NAMESPACE_OID, sandbox.org_id))

    async def assignment() -> dict[str, Any]:
        return {
            "metastore_id": metastore_id(),
            "workspace_id": int(sandbox.org_id),
            "default_catalog_name": sandbox.kind.default_catalog,
        }

    async def summary() -> dict[str, Any]:
        shown = {"metastore_id": metastore_id(), "name": "sandbox", "owner": sandbox.user.name}
        return {**shown, "privilege_model_version": "1.0", "delta_sharing_scope": "INTERNAL"}

    table: dict[str, Handler] = {
        "GET /current-metastore-assignment": assignment,
        "GET /metastore_summary": summary,
    }
    for kind, parents in (
        ("catalogs", ()),
        ("schemas", ("catalog_name",)),
        ("volumes", ("catalog_name", "schema_name")),
    ):
        api = _UnityCatalogApi(sandbox.unity_catalog, kind, parents)
        table |= {
            f"POST /{kind}": api.create,
            f"GET /{kind}": api.list_all,
            f"GET /{kind}/{{full_name}}": api.get,
            f"DELETE /{kind}/{{full_name}}": api.delete,
        }
    return endpoints(table, "/api/2.1/unity-catalog")
