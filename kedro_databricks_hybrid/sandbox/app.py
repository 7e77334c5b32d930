"""The server's HTTP application: authentication, the routes of all families, and error answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from kedro_databricks_hybrid.sandbox.clusters.libraries import Libraries
from kedro_databricks_hybrid.sandbox.clusters.record_routes import POLICIES, POOLS
from kedro_databricks_hybrid.sandbox.clusters.record_routes import routes as record_routes
from kedro_databricks_hybrid.sandbox.clusters.routes import library_routes
from kedro_databricks_hybrid.sandbox.clusters.routes import routes as clusters_routes
from kedro_databricks_hybrid.sandbox.clusters.routes import secured as secured_cluster
from kedro_databricks_hybrid.sandbox.commands.routes import Contexts
from kedro_databricks_hybrid.sandbox.connect.gateway import Connect
from kedro_databricks_hybrid.sandbox.core.bodies import Array
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.core.errors import SANDBOX_FAILED, ApiError, LegacyError, invalid
from kedro_databricks_hybrid.sandbox.core.permissions import KINDS, OBJECT_KINDS
from kedro_databricks_hybrid.sandbox.core.records import Records
from kedro_databricks_hybrid.sandbox.dbfs.routes import routes as dbfs_routes
from kedro_databricks_hybrid.sandbox.faults.middleware import FaultsGate
from kedro_databricks_hybrid.sandbox.faults.routes import routes as faults_routes
from kedro_databricks_hybrid.sandbox.faults.routes import switch_routes
from kedro_databricks_hybrid.sandbox.identity.oauth_routes import OIDC_PATH
from kedro_databricks_hybrid.sandbox.identity.oauth_routes import routes as oauth_routes
from kedro_databricks_hybrid.sandbox.identity.routes import DISCOVERY_PATH
from kedro_databricks_hybrid.sandbox.identity.routes import routes as identity_routes
from kedro_databricks_hybrid.sandbox.identity.tokens import routes as token_routes
from kedro_databricks_hybrid.sandbox.jobs.model import Jobs
from kedro_databricks_hybrid.sandbox.jobs.routes import routes as jobs_routes
from kedro_databricks_hybrid.sandbox.jobs.runs import Runs
from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork
from kedro_databricks_hybrid.sandbox.permissions.routes import routes as permissions_routes
from kedro_databricks_hybrid.sandbox.pipelines.routes import PIPELINES
from kedro_databricks_hybrid.sandbox.pipelines.routes import routes as pipelines_routes
from kedro_databricks_hybrid.sandbox.repos.credentials import routes as credential_routes
from kedro_databricks_hybrid.sandbox.repos.routes import routes as repos_routes
from kedro_databricks_hybrid.sandbox.secrets.routes import routes as secrets_routes
from kedro_databricks_hybrid.sandbox.unity_catalog.grant_routes import routes as grants_routes
from kedro_databricks_hybrid.sandbox.unity_catalog.routes import routes as unity_catalog_routes
from kedro_databricks_hybrid.sandbox.volumes.routes import routes as volumes_routes
from kedro_databricks_hybrid.sandbox.volumes.upload_model import STORAGE_PATH
from kedro_databricks_hybrid.sandbox.volumes.upload_routes import routes as upload_routes
from kedro_databricks_hybrid.sandbox.workspace.conf import routes as conf_routes
from kedro_databricks_hybrid.sandbox.workspace.routes import content_routes
from kedro_databricks_hybrid.sandbox.workspace.routes import routes as workspace_routes
from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kedro_databricks_hybrid.sandbox.core.permissions import Secured


__all__ = ["Sandbox", "create_app"]

_LOG = logging.getLogger(__name__)
MAX_UNAUTHENTICATED_BYTES = 64 * 1024
"""The most bytes of the body of a request that is public; one with a signed address has its own limit."""

_VERSION = re.compile(r"^/api/\d+\.\d+")
_MOST_ADDRESSES = 1000
_FULL_DISK_ERRORS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_BAD_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EILSEQ}


def create_app(sandbox: Sandbox) -> Starlette:
    """Return the application that serves `sandbox`."""
    contexts = Contexts(sandbox)
    libraries = Libraries(sandbox)
    jobs = Jobs(sandbox.store, sandbox.permissions, sandbox.principals)
    runs = Runs(sandbox.store)
    records = {
        kind: Records(kind, sandbox.store, sandbox.permissions, sandbox.principals)
        for kind in (POOLS, POLICIES, PIPELINES)
    }
    lookups: dict[str, Callable[[str], Secured]] = {
        "jobs": jobs.secured,
        "clusters": partial(secured_cluster, sandbox.clusters, sandbox.principals),
        **{each.kind.kind: each.secured for each in records.values()},
        **{kind: partial(sandbox.tree.secured, KINDS[kind]) for kind in OBJECT_KINDS},
    }
    connect = Connect(sandbox)
    work = JobWork(sandbox, libraries, connect, runs)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        await libraries.resume()
        try:
            yield
        finally:
            await asyncio.gather(contexts.close(), work.close(), connect.close())
            await libraries.close()

    app = Starlette(
        routes=[
            *identity_routes(sandbox),
            *workspace_routes(sandbox),
            *content_routes(sandbox),
            *conf_routes(sandbox.store),
            *credential_routes(sandbox.git_credentials),
            *repos_routes(sandbox),
            *dbfs_routes(sandbox),
            *volumes_routes(sandbox),
            *upload_routes(sandbox),
            *unity_catalog_routes(sandbox),
            *grants_routes(sandbox.unity_catalog, sandbox.principals),
            *permissions_routes(sandbox.permissions, sandbox.principals, lookups),
            *secrets_routes(sandbox.secrets),
            *token_routes(sandbox.tokens),
            *oauth_routes(sandbox),
            *clusters_routes(sandbox.clusters, sandbox.permissions),
            *record_routes(records[POOLS], records[POLICIES], sandbox.clusters),
            *pipelines_routes(records[PIPELINES]),
            *library_routes(libraries, sandbox.clusters),
            *jobs_routes(sandbox, jobs, runs, work),
            *contexts.routes(),
            *connect.routes(),
            *faults_routes(sandbox.faults),
            *switch_routes(sandbox),
            endpoint("POST", "/telemetry-ext", _drop_telemetry),
        ],
        lifespan=lifespan,
        exception_handlers={
            ApiError: _refusal,
            LegacyError: _refusal,
            HTTPException: _unknown_endpoints(),
            OSError: _file_error,
            ClientDisconnect: _gone,
            Exception: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.connect = connect
    actions = {"terminate-cluster": sandbox.clusters.lose_instances, "evict-contexts": contexts.evict}
    app.add_middleware(BodyLimit)
    app.add_middleware(FaultsGate, faults=sandbox.faults, actions=actions)
    app.add_middleware(Gate, sandbox=sandbox)
    return app


class BodyLimit:
    """Limits the bodies of requests that nobody has authenticated yet, before they are kept anywhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading more of its body than allowed is an error 413."""
        left = MAX_UNAUTHENTICATED_BYTES

        async def limited_receive() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                text = f"The request body is larger than {MAX_UNAUTHENTICATED_BYTES} bytes"
                raise ApiError(413, "BAD_REQUEST", text)
            return message

        is_open = "user" not in scope.get("state", {}) and not scope.get("path", "").startswith(STORAGE_PATH)
        await self._app(scope, limited_receive if is_open and scope["type"] == "http" else receive, send)


class Gate:
    """Authenticates requests: they must come from this machine and carry a user's token."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox) -> None:
        self._app = app
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with its user in `request.state`, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ApiError as refusal:
            await refusal.response()(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-databricks-org-id", self._sandbox.org_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        if not _is_loopback(headers.get(b"host", b"").decode("latin-1")):
            raise ApiError(
                403, "PERMISSION_DENIED", "This workspace accepts requests only at 127.0.0.1 and localhost."
            )
        if scope["path"] == DISCOVERY_PATH or scope["path"].startswith((STORAGE_PATH, OIDC_PATH)):
            return  # public, or authenticated by a key in the address or by client credentials
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiError(401, "401", "Credential was not sent or was of an unsupported type for this API.")
        user = self._sandbox.user_of(token.strip())
        if user is None and scope["path"].startswith("/api/"):
            notebook = self._sandbox.notebook_accesses.by_token(token.strip())
            if notebook is not None:
                user = notebook.user
                scope.setdefault("state", {})["notebook"] = notebook
        if user is None:
            raise ApiError(403, "403", "Invalid access token.")
        scope.setdefault("state", {})["user"] = user


def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]")
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, (ApiError, LegacyError)):
        raise error
    return error.response()


def _unknown_endpoints() -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return a handler that refuses requests without a route, and logs each address once."""
    logged: set[tuple[str, str]] = set()

    async def refuse(request: Request, error: Exception) -> Response:
        address = request.method, request.url.path
        if address not in logged and len(logged) < _MOST_ADDRESSES:
            logged.add(address)
            _LOG.warning("No API found for %s %r (%s)", *address, error)
        asked = _VERSION.sub("", request.url.path)
        return ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {asked}'").response()

    return refuse


async def _drop_telemetry(protoLogs: Array) -> dict[str, Any]:  # noqa: N803 - Databricks' name
    """Accept what the official command line reports about its use, and keep none of it."""
    return {"errors": [], "numProtoSuccess": len(protoLogs)}


async def _file_error(request: Request, error: Exception) -> Response:
    """Translate an error of the file system, without the paths in its message."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _BAD_NAME_ERRORS:
        return invalid(
            "The path cannot be used: a name is too long, or a file is used as a folder"
        ).response()
    if isinstance(error, FileNotFoundError):
        return ApiError(404, "RESOURCE_DOES_NOT_EXIST", "The path was deleted during the request").response()
    if number in _FULL_DISK_ERRORS:
        return ApiError(500, "INTERNAL_ERROR", "The disk of the sandbox is full.").response()
    return await _internal_error(request, error)


async def _gone(request: Request, error: Exception) -> Response:
    del request, error
    return Response(status_code=499)


async def _internal_error(request: Request, error: Exception) -> Response:
    _LOG.error("%s %r failed", request.method, request.url.path, exc_info=error)
    answer = ApiError(500, "INTERNAL_ERROR", SANDBOX_FAILED).response()
    answer.headers["Connection"] = "close"  # as uvicorn does after an unhandled exception
    return answer
