"""API 1.2: execution contexts and commands.

Not verified against a live workspace: the messages and limits in the constants below.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.commands.model import Command, Context
from kedro_databricks_hybrid.sandbox.core.bodies import limited_body
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, LegacyError
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.kernel import process

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_CONTEXTS = 145
"""Contexts that a cluster holds; at the limit the one that is idle for longest is evicted."""

MAX_COMMAND_BYTES = 6 * 1024 * 1024
_MAX_BODY_BYTES = 4 * MAX_COMMAND_BYTES

_BAD_REQUEST = 400
_FORBIDDEN = 403
_UNKNOWN_CLUSTER = "ClusterNotFoundException: Cluster {} does not exist"
_STOPPED_CLUSTER = "ClusterNotRunningException: Cluster {} is not running (it is {})"
_UNKNOWN_CONTEXT = "ContextNotFoundException: execution context not found: {} does not exist"
_UNKNOWN_COMMAND = "CommandNotFoundException: command {} does not exist"
_LOST_CONTEXT = "ContextInvalidException: execution context {} is invalid: {}"
_LANGUAGE = "requirement failed: the sandbox runs python, not {}"
_TOO_MANY = "Too many execution contexts are open right now (limit {}), and all of them are busy."


class Contexts:
    """The execution contexts of all clusters, and the routes to them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._contexts: dict[str, Context] = {}
        self._closing: set[asyncio.Task[None]] = set()
        sandbox.clusters.on_terminate(self._lose_cluster)
        for leftover in sandbox.layout.kernels.iterdir():
            if leftover.name.isdigit():  # of a killed server
                process.remove_left(leftover)

    def routes(self) -> list[Route]:
        """Return the routes of this family."""
        return [
            Route("/api/1.2/contexts/create", self._create, methods=["POST"]),
            Route("/api/1.2/contexts/status", self._context_status, methods=["GET"]),
            Route("/api/1.2/contexts/destroy", self._destroy, methods=["POST"]),
            Route("/api/1.2/commands/execute", self._execute, methods=["POST"]),
            Route("/api/1.2/commands/status", self._command_status, methods=["GET"]),
            Route("/api/1.2/commands/cancel", self._cancel, methods=["POST"]),
        ]

    async def close(self) -> None:
        """End every context, and wait for those that are being ended."""
        await self._close(list(self._contexts.values()), "The workspace is shutting down.")
        await asyncio.gather(*self._closing)

    async def evict(self) -> None:
        """Evict every context, as a cluster at its limit evicts idle ones."""
        await self._close(list(self._contexts.values()), "The execution context was evicted.")

    async def _create(self, request: Request) -> Response:
        fields = await _body(request)
        cluster_id = _required(fields, "clusterId")
        _check_language(_required(fields, "language"))
        version = self._running_cluster(cluster_id)
        refusal = self._sandbox.clusters.get(cluster_id).refusal_of(request.state.user.name)
        if refusal:
            raise LegacyError(_FORBIDDEN, f"PERMISSION_DENIED: {refusal}")
        await self._make_room(cluster_id)
        name = str(new_id(19))
        environment = self._sandbox.notebook_environment(name, request.state.user, cluster_id)
        context = Context(environment, cluster_id, request.state.user.name, version)
        self._contexts[context.id] = context
        return JSONResponse({"id": context.id})

    async def _context_status(self, request: Request) -> Response:
        context = self._context(request, dict(request.query_params))
        answer = {"id": context.id, "status": context.status}
        return JSONResponse({**answer, "error": context.error} if context.error else answer)

    async def _destroy(self, request: Request) -> Response:
        context = self._context(request, await _body(request))
        await self._close([context], "The execution context was destroyed.")
        return JSONResponse({"id": context.id})

    async def _execute(self, request: Request) -> Response:
        fields = await _body(request)
        context = self._context(request, fields)
        if "language" in fields:
            _check_language(_required(fields, "language"))
        code = _required(fields, "command")
        if len(code.encode(errors="replace")) > MAX_COMMAND_BYTES:
            msg = f"requirement failed: command is larger than {MAX_COMMAND_BYTES} bytes"
            raise LegacyError(_BAD_REQUEST, msg)
        if context.status == "Error":
            raise LegacyError(_BAD_REQUEST, _LOST_CONTEXT.format(context.id, context.error))
        return JSONResponse({"id": context.submit(code).id})

    async def _command_status(self, request: Request) -> Response:
        fields = dict(request.query_params)
        command = self._command(self._context(request, fields), fields)
        return JSONResponse({"id": command.id, "status": command.status, "results": command.results})

    async def _cancel(self, request: Request) -> Response:
        fields = await _body(request)
        context = self._context(request, fields)
        command = self._command(context, fields)
        context.cancel(command)
        return JSONResponse({"id": command.id})

    def _running_cluster(self, cluster_id: str) -> str:
        """Return the runtime version of a running cluster; refuse another one."""
        try:
            cluster = self._sandbox.clusters.get(cluster_id)
        except ApiError as error:
            raise LegacyError(_BAD_REQUEST, _UNKNOWN_CLUSTER.format(cluster_id)) from error
        if cluster.state != "RUNNING":
            raise LegacyError(_BAD_REQUEST, _STOPPED_CLUSTER.format(cluster_id, cluster.state))
        return cluster.runtime_version

    def _context(self, request: Request, fields: dict[str, Any]) -> Context:
        """Return the caller's context; refuse another user's as if it did not exist."""
        name = _required(fields, "contextId")
        cluster_id = _required(fields, "clusterId")
        context = self._contexts.get(name)
        if context is None or (context.cluster_id, context.user) != (cluster_id, request.state.user.name):
            self._running_cluster(cluster_id)
            raise LegacyError(_BAD_REQUEST, _UNKNOWN_CONTEXT.format(name))
        return context

    def _command(self, context: Context, fields: dict[str, Any]) -> Command:
        name = _required(fields, "commandId")
        try:
            return context.commands[name]
        except KeyError:
            raise LegacyError(_BAD_REQUEST, _UNKNOWN_COMMAND.format(name)) from None

    async def _make_room(self, cluster_id: str) -> None:
        """Evict idle contexts until the cluster can hold one more."""
        present = [context for context in self._contexts.values() if context.cluster_id == cluster_id]
        idle = sorted((context for context in present if not context.busy), key=lambda context: context.used)
        excess = len(present) + 1 - MAX_CONTEXTS
        if excess > len(idle):
            raise LegacyError(_BAD_REQUEST, _TOO_MANY.format(MAX_CONTEXTS))
        await self._close(idle[: max(excess, 0)], "The execution context was evicted.")

    async def _lose_cluster(self, cluster_id: str) -> None:
        lost = [context for context in self._contexts.values() if context.cluster_id == cluster_id]
        await self._close(lost, "The cluster was terminated.")

    async def _close(self, contexts: list[Context], reason: str) -> None:
        for context in contexts:
            self._contexts.pop(context.id, None)
            self._sandbox.notebook_accesses.remove(context.access)
        closing = [asyncio.create_task(context.close(reason)) for context in contexts]
        self._closing.update(closing)
        for task in closing:
            task.add_done_callback(self._closing.discard)
        await asyncio.gather(*closing)


async def _body(request: Request) -> dict[str, Any]:
    try:
        content = await limited_body(request, _MAX_BODY_BYTES)
        fields = json.loads(content) if content.strip() else {}
    except ApiError as error:
        raise LegacyError(error.status, error.message) from error
    except (ValueError, RecursionError) as error:
        raise LegacyError(_BAD_REQUEST, "requirement failed: the body is not valid JSON") from error
    if not isinstance(fields, dict):
        raise LegacyError(_BAD_REQUEST, "requirement failed: the body is not a JSON object")
    return fields


def _required(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None or value == "":
        raise LegacyError(_BAD_REQUEST, f"requirement failed: missing {name}")
    if not isinstance(value, str):
        raise LegacyError(_BAD_REQUEST, f"requirement failed: {name} is not a string")
    return value


def _check_language(language: str) -> None:
    if language.lower() != "python":
        raise LegacyError(_BAD_REQUEST, _LANGUAGE.format(language))
