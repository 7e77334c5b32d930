"""The Spark Connect servers: one process for each compute and user, started when it is first asked for."""

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
"""What stands for serverless compute in the place of a cluster's id."""

_LOG = logging.getLogger(__name__)
_PROGRAM = "kedro_databricks_hybrid.sandbox.connect.program"
_LOG_FILE = "connect.log"
_LOG_TAIL = 2000


class ConnectServerError(Exception):
    """A server could not be started; the message says why."""


@dataclass(frozen=True)
class ConnectServer:
    """A server that serves.

    Attributes:
        port: Where it does, on 127.0.0.1.
        token: What a caller must show.
    """

    port: int
    token: str
    process: Process
    environment: NotebookEnvironment

    async def end(self) -> None:
        """End the process and all below it, and delete its files."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()  # namespace.py then kills all below it
        await self.process.wait()
        await asyncio.to_thread(self.environment.remove)


class ConnectServers:
    """Starts servers on demand, and ends those of a cluster with the cluster."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._starting: dict[tuple[str, str], asyncio.Task[ConnectServer]] = {}
        sandbox.clusters.on_terminate(self._end_cluster)

    async def server(self, compute: str, user: User, runtime_version: str) -> ConnectServer:
        """Return a user's server on a cluster or on serverless compute.

        Raises:
            ConnectServerError: It did not start.
        """
        place = (compute, user.name)
        known = self._starting.get(place)
        if known is None or _has_ended(known):
            known = asyncio.create_task(self._start(compute, user, runtime_version))
            self._starting[place] = known
        return await asyncio.shield(known)

    async def close(self) -> None:
        """End every server."""
        await self._end(list(self._starting))

    async def _end_cluster(self, cluster_id: str) -> None:
        await self._end([place for place in self._starting if place[0] == cluster_id])

    async def _end(self, places: list[tuple[str, str]]) -> None:
        ending = [self._starting.pop(place) for place in places]
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
        words = (environment.folder / _LOG_FILE).read_text(encoding="utf-8", errors="replace")
        _LOG.error("Spark Connect on %s did not start: %s", compute, words[-_LOG_TAIL:])
        await server.end()
        raise ConnectServerError(
            f"Spark Connect did not start on {compute}; the sandbox's server.log says why."
        )


def _has_ended(starting: asyncio.Task[ConnectServer]) -> bool:
    if not starting.done():
        return False
    if starting.cancelled() or starting.exception() is not None:
        return True
    return starting.result().process.returncode is not None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
