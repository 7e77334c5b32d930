"""The Spark Connect servers: one process for each compute and user, started on demand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.connect.program import TOKEN_VARIABLE
from kedro_databricks_hybrid.sandbox.core.stamps import new_id

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from kedro_databricks_hybrid.sandbox.identity.users import User
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

SERVERLESS = "serverless"
"""The id of serverless compute, where others have the id of a cluster."""

_LOG = logging.getLogger(__name__)
_PROGRAM = "kedro_databricks_hybrid.sandbox.connect.program"
_LOG_FILE = "connect.log"
_LOG_TAIL = 2000


class ConnectServerError(Exception):
    """A server did not start; the message says why."""


@dataclass(frozen=True)
class ConnectServer:
    """A running server.

    Attributes:
        port: Its port on 127.0.0.1.
        token: The token of its callers.
    """

    port: int
    token: str
    process: Process
    environment: NotebookEnvironment

    async def end(self) -> None:
        """End the process and its children, and delete its files."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()  # namespace.py then kills all its children
        await self.process.wait()
        await asyncio.to_thread(self.environment.remove)


class ConnectServers:
    """Starts servers on demand, and ends the servers of a cluster when it terminates."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._starting: dict[tuple[str, str], asyncio.Task[ConnectServer]] = {}
        sandbox.clusters.on_terminate(self._end_cluster)

    async def server(self, compute: str, user: User, runtime_version: str) -> ConnectServer:
        """Return a user's server on a cluster or on serverless compute, started if none runs.

        Raises:
            ConnectServerError: It did not start.
        """
        key = (compute, user.name)
        starting = self._starting.get(key)
        if starting is None or _has_ended(starting):
            starting = asyncio.create_task(self._start(compute, user, runtime_version))
            self._starting[key] = starting
        return await asyncio.shield(starting)

    async def close(self) -> None:
        """End every server."""
        await self._end(list(self._starting))

    async def _end_cluster(self, cluster_id: str) -> None:
        await self._end([key for key in self._starting if key[0] == cluster_id])

    async def _end(self, keys: list[tuple[str, str]]) -> None:
        ending = [self._starting.pop(key) for key in keys]
        for server in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(server, ConnectServer):
                await server.end()

    async def _start(self, compute: str, user: User, runtime_version: str) -> ConnectServer:
        name = str(new_id(19))
        cluster_id = None if compute == SERVERLESS else compute
        environment = self._sandbox.notebook_environment(name, user, cluster_id)
        await asyncio.to_thread(environment.make)
        token, port = secrets.token_hex(24), _free_port()
        variables = await asyncio.to_thread(environment.variables, user.name, runtime_version)
        with (environment.folder / _LOG_FILE).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *environment.inside([environment.python, "-m", _PROGRAM, str(port)]),
                env={**variables, TOKEN_VARIABLE: token},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        server = ConnectServer(port, token, process, environment)
        if process.stdout is not None and (await process.stdout.readline()).strip() == b"ready":
            _LOG.info("Spark Connect for %s on %s serves on port %s", user.name, compute, port)
            return server
        log_text = (environment.folder / _LOG_FILE).read_text(encoding="utf-8", errors="replace")
        _LOG.error("Spark Connect on %s did not start: %s", compute, log_text[-_LOG_TAIL:])
        await server.end()
        raise ConnectServerError(f"Spark Connect did not start on {compute}; see the sandbox's server.log.")


def _has_ended(starting: asyncio.Task[ConnectServer]) -> bool:
    if not starting.done():
        return False
    if starting.cancelled() or starting.exception() is not None:
        return True
    return starting.result().process.returncode is not None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
