"""The Files API over HTTP, and the API of Unity Catalog as far as volumes need it."""

from __future__ import annotations

import uuid
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body, query
from kedro_databricks_hybrid.sandbox.core.pages import page
from kedro_databricks_hybrid.sandbox.core.uploads import received
from kedro_databricks_hybrid.sandbox.volumes.model import MAX_PAGE, VolumeFiles

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.volumes.model import UnityCatalog
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_FILE_BYTES = 5 * 1024**3
_TOO_LARGE = ApiError(413, "BAD_REQUEST", f"The file is larger than the limit of {MAX_FILE_BYTES} bytes.")
_BYTES = "application/octet-stream"
_UNITY_CATALOG = "/api/2.1/unity-catalog"


class _FilesApi:
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
        disk_path = await run_in_threadpool(self._files.file, request.path_params["path"])
        return await run_in_threadpool(file_response, request, disk_path)

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
        size = fields.number("page_size", MAX_PAGE)
        part = page(fields, min(size, MAX_PAGE) if size > 0 else MAX_PAGE)
        entries, total = await run_in_threadpool(self._files.list_folder, path, part)
        return JSONResponse({**({"contents": entries} if entries else {}), **part.next(total)})

    async def delete_directory(self, request: Request) -> Response:
        await run_in_threadpool(self._files.delete_folder, request.path_params["path"])
        return Response(status_code=204)


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
    api = _FilesApi(VolumeFiles(sandbox.unity_catalog), sandbox.layout.scratch)
    files, directories = "/api/2.0/fs/files{path:path}", "/api/2.0/fs/directories{path:path}"
    return [
        Route(files, api.put_file, methods=["PUT"]),
        Route(files, api.get_file, methods=["GET", "HEAD"]),
        Route(files, api.delete_file, methods=["DELETE"]),
        Route(directories, api.put_directory, methods=["PUT"]),
        Route(directories, api.get_directory, methods=["GET", "HEAD"]),
        Route(directories, api.delete_directory, methods=["DELETE"]),
    ]


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
        self._parents = parents

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        if self._kind == "volumes" and fields.text("volume_type") != "MANAGED":
            raise invalid("The sandbox supports managed volumes only.")
        full_name = (*self._parents_in(fields), fields.text("name").lower())
        made = await self._catalog.create(full_name, request.state.user.name, fields.text("comment", ""))
        return JSONResponse(made)

    async def list_all(self, request: Request) -> Response:
        return JSONResponse({self._kind: self._catalog.below(self._parents_in(query(request)))})

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._catalog.get(self._full_name(request)))

    async def delete(self, request: Request) -> Response:
        await self._catalog.remove(self._full_name(request), force=query(request).flag("force"))
        return JSONResponse({})

    def _parents_in(self, fields: Fields) -> tuple[str, ...]:
        return tuple(fields.text(name).lower() for name in self._parents)

    def _full_name(self, request: Request) -> tuple[str, ...]:
        names = tuple(request.path_params["full_name"].lower().split("."))
        if len(names) != len(self._parents) + 1 or not all(names):
            raise invalid(f"'{'.'.join(names)[:300]}' is not a full name of {self._kind}.")
        return names


class _Metastore:
    """The handlers of the metastore; without Unity Catalog, none is assigned to the workspace."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def assignment(self, request: Request) -> Response:
        del request
        return JSONResponse(
            {
                "metastore_id": self._id(),
                "workspace_id": int(self._sandbox.org_id),
                "default_catalog_name": self._sandbox.kind.default_catalog,
            }
        )

    async def summary(self, request: Request) -> Response:
        del request
        shown = {"metastore_id": self._id(), "name": "sandbox", "owner": self._sandbox.user.name}
        return JSONResponse({**shown, "privilege_model_version": "1.0", "delta_sharing_scope": "INTERNAL"})

    def _id(self) -> str:
        """Return the id of the metastore; refuse if none is assigned."""
        if not self._sandbox.kind.metastore:
            raise ApiError(404, "METASTORE_DOES_NOT_EXIST", NO_METASTORE)
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self._sandbox.org_id))


# Not verified against a live workspace: the status. Code and message are verified.
NO_METASTORE = "No metastore assigned for the current workspace."


def unity_catalog_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    metastore = _Metastore(sandbox)
    found = [
        Route(f"{_UNITY_CATALOG}/current-metastore-assignment", metastore.assignment, methods=["GET"]),
        Route(f"{_UNITY_CATALOG}/metastore_summary", metastore.summary, methods=["GET"]),
    ]
    for kind, parents in (
        ("catalogs", ()),
        ("schemas", ("catalog_name",)),
        ("volumes", ("catalog_name", "schema_name")),
    ):
        api = _UnityCatalogApi(sandbox.unity_catalog, kind, parents)
        found += [
            Route(f"{_UNITY_CATALOG}/{kind}", api.create, methods=["POST"]),
            Route(f"{_UNITY_CATALOG}/{kind}", api.list_all, methods=["GET"]),
            Route(f"{_UNITY_CATALOG}/{kind}/{{full_name}}", api.get, methods=["GET"]),
            Route(f"{_UNITY_CATALOG}/{kind}/{{full_name}}", api.delete, methods=["DELETE"]),
        ]
    return found
