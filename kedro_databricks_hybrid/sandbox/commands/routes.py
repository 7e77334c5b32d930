"""API 1.2: execution contexts and commands."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.commands.model import Command, Context
from kedro_databricks_hybrid.sandbox.core.bodies import body
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, LegacyError
from kedro_databricks_hybrid.sandbox.core.guesses import (
    LOST_CONTEXT,
    STOPPED_CLUSTER,
    TOO_MANY_CONTEXTS,
    UNKNOWN_CLUSTER,
    UNKNOWN_COMMAND,
    UNKNOWN_CONTEXT,
)
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.kernel import process

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

MAX_CONTEXTS = 145
"""Contexts that a cluster holds; at the limit the one that is idle for longest is evicted."""

IDLE_SECONDS = 24 * 3600.0
"""How long after its last command a context counts as idle."""

MAX_COMMAND_BYTES = 6 * 1024 * 1024
_LANGUAGE = "requirement failed: the sandbox runs python, not {}"


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
        base = "/api/1.2"
        table = {
            "contexts/create": self._create,
            "contexts/destroy": self._destroy,
            "commands/execute": self._execute,
            "commands/cancel": self._cancel,
        }
        return [
            *(endpoint("POST", f"{base}/{path}", handler, _body) for path, handler in table.items()),
            endpoint("GET", f"{base}/contexts/status", self._context_status),
            endpoint("GET", f"{base}/commands/status", self._command_status),
        ]

    async def close(self) -> None:
        """End every context, and wait for those that are being ended."""
        await self._close(list(self._contexts.values()), "The workspace is shutting down.")
        await asyncio.gather(*self._closing)

    async def evict(self) -> None:
        """Evict every context, as a cluster at its limit evicts idle ones."""
        await self._close(list(self._contexts.values()), "The execution context was evicted.")

    async def _create(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        cluster_id = _required(given, "clusterId")
        _check_language(_required(given, "language"))
        version = self._running_cluster(cluster_id)
        refusal = self._sandbox.clusters.get(cluster_id).refusal_of(user.name)
        if refusal:
            raise LegacyError(f"PERMISSION_DENIED: {refusal}", 403)
        await self._make_room(cluster_id)
        name = str(new_id(19))
        environment = self._sandbox.notebook_environment(name, user, cluster_id)
        context = Context(environment, cluster_id, user.name, version)
        self._contexts[context.id] = context
        return {"id": context.id}

    async def _context_status(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        context = self._context(user, given)
        answer = {"id": context.id, "status": context.status}
        return {**answer, "error": context.error} if context.error else answer

    async def _destroy(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        context = self._context(user, given)
        await self._close([context], "The execution context was destroyed.")
        return {"id": context.id}

    async def _execute(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        context = self._context(user, given)
        if "language" in given:
            _check_language(_required(given, "language"))
        code = _required(given, "command")
        if len(code.encode(errors="replace")) > MAX_COMMAND_BYTES:
            raise LegacyError(f"requirement failed: command is larger than {MAX_COMMAND_BYTES} bytes")
        if context.status == "Error":
            raise LegacyError(LOST_CONTEXT.format(context.id, context.error))
        return {"id": context.submit(code).id}

    async def _command_status(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        command = self._command(self._context(user, given), given)
        return {"id": command.id, "status": command.status, "results": command.results}

    async def _cancel(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        context = self._context(user, given)
        command = self._command(context, given)
        context.cancel(command)
        return {"id": command.id}

    def _running_cluster(self, cluster_id: str) -> str:
        """Return the runtime version of a running cluster; refuse another one."""
        try:
            cluster = self._sandbox.clusters.get(cluster_id)
        except ApiError as error:
            raise LegacyError(UNKNOWN_CLUSTER.format(cluster_id)) from error
        if cluster.state != "RUNNING":
            raise LegacyError(STOPPED_CLUSTER.format(cluster_id, cluster.state))
        return cluster.runtime_version

    def _context(self, user: User, given: dict[str, Any]) -> Context:
        """Return the caller's context; refuse another user's as if it did not exist."""
        name, cluster_id = _required(given, "contextId"), _required(given, "clusterId")
        context = self._contexts.get(name)
        if context is None or (context.cluster_id, context.user) != (cluster_id, user.name):
            self._running_cluster(cluster_id)
            raise LegacyError(UNKNOWN_CONTEXT.format(name))
        return context

    def _command(self, context: Context, given: dict[str, Any]) -> Command:
        name = _required(given, "commandId")
        try:
            return context.commands[name]
        except KeyError:
            raise LegacyError(UNKNOWN_COMMAND.format(name)) from None

    async def _make_room(self, cluster_id: str) -> None:
        """Evict idle contexts until the cluster can hold one more."""
        present = [context for context in self._contexts.values() if context.cluster_id == cluster_id]
        latest = time.monotonic() - IDLE_SECONDS
        unused = (context for context in present if not context.busy and context.used <= latest)
        idle = sorted(unused, key=lambda context: context.used)
        excess = len(present) + 1 - MAX_CONTEXTS
        if excess > len(idle):
            raise LegacyError(TOO_MANY_CONTEXTS.format(MAX_CONTEXTS))
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
        return await body(request)
    except ApiError as error:
        raise LegacyError(f"requirement failed: {error.message}", error.status) from error


def _required(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None or value == "":
        raise LegacyError(f"requirement failed: missing {name}")
    if not isinstance(value, str):
        raise LegacyError(f"requirement failed: {name} is not a string")
    return value


def _check_language(language: str) -> None:
    if language.lower() != "python":
        raise LegacyError(_LANGUAGE.format(language))
