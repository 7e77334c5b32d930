"""The Spark Connect servers: one process for each compute and user, started when it is first asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.connect.program import TOKEN_VARIABLE

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Coroutine

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
        process: The server.
        environment: The files that it runs in.
        is_serverless: Whether it has the limits of serverless compute.
        is_of_task: Whether it runs in the environment of a task.
    """

    port: int
    token: str
    process: Process
    environment: NotebookEnvironment
    is_serverless: bool
    is_of_task: bool

    async def end(self) -> None:
        """End the process and all below it, and delete its files, unless they are a task's."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()  # namespace.py then kills all below it
        await self.process.wait()
        if not self.is_of_task:
            await asyncio.to_thread(self.environment.remove)


class ConnectServers:
    """Starts servers on demand, and ends those of a cluster with the cluster, of a task with the task."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._starting: dict[tuple[str, str], asyncio.Task[ConnectServer]] = {}
        self._tasks: dict[str, _Launch] = {}
        sandbox.clusters.on_terminate(self._end_cluster)

    async def server(self, compute: str, user: User, runtime_version: str) -> ConnectServer:
        """Return a user's server on a cluster or on serverless compute.

        Raises:
            ConnectServerError: It did not start.
        """
        return await self._known((compute, user.name), lambda: self._start(compute, user, runtime_version))

    def add_task(self, environment: NotebookEnvironment, variables: dict[str, str]) -> None:
        """Let a task on serverless compute have a server in its own environment, once it asks for it."""
        launch = _Launch("serverless compute", environment, variables, is_serverless=True, is_of_task=True)
        self._tasks[environment.access.token] = launch

    def is_task(self, token: str) -> bool:
        """Tell whether a token is that of a task on serverless compute."""
        return token in self._tasks

    async def of_task(self, token: str) -> ConnectServer:
        """Return the server of the task that has this token.

        Raises:
            ConnectServerError: It did not start.
        """
        launch = self._tasks[token]
        return await self._known((launch.environment.name, launch.user), launch.start)

    async def end_task(self, environment: NotebookEnvironment) -> None:
        """End a task's server, if it has one."""
        self._tasks.pop(environment.access.token, None)
        places = [place for place in self._starting if place[0] == environment.name]
        for place in places:
            self._starting[place].cancel()  # one that serves is ended below
        await self._end(places)

    async def _known(
        self, place: tuple[str, str], start: Callable[[], Coroutine[Any, Any, ConnectServer]]
    ) -> ConnectServer:
        known = self._starting.get(place)
        if known is None or _has_ended(known):
            known = self._starting[place] = asyncio.create_task(start())
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
        name = str(secrets.randbelow(9 * 10**18) + 10**18)
        cluster_id = None if compute == SERVERLESS else compute
        environment = self._sandbox.notebook_environment(name, user, cluster_id)
        await asyncio.to_thread(environment.make)
        variables = await asyncio.to_thread(environment.variables, user.name, runtime_version)
        launch = _Launch(compute, environment, variables, is_serverless=cluster_id is None, is_of_task=False)
        return await launch.start()


@dataclass(frozen=True)
class _Launch:
    """What a server is started with."""

    compute: str
    environment: NotebookEnvironment
    variables: dict[str, str]
    is_serverless: bool
    is_of_task: bool

    async def start(self) -> ConnectServer:
        """Start the process and wait until it serves.

        Raises:
            ConnectServerError: It does not.
        """
        token, port = secrets.token_hex(24), _free_port()
        log_file = self.environment.folder / _LOG_FILE
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self.environment.inside([self.environment.python, "-m", _PROGRAM, str(port)]),
                env={**self.variables, TOKEN_VARIABLE: token},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        server = ConnectServer(port, token, process, self.environment, self.is_serverless, self.is_of_task)
        try:
            said = await process.stdout.readline() if process.stdout is not None else b""
        except asyncio.CancelledError:
            await server.end()
            raise
        if said.strip() == b"ready":
            _LOG.info("Spark Connect for %s on %s serves on port %s", self.user, self.compute, port)
            return server
        words = log_file.read_text(encoding="utf-8", errors="replace")
        _LOG.error("Spark Connect on %s did not start: %s", self.compute, words[-_LOG_TAIL:])
        await server.end()
        raise ConnectServerError(
            f"Spark Connect did not start on {self.compute}; the sandbox's server.log says why."
        )

    @property
    def user(self) -> str:
        """Whose server it is."""
        return self.environment.access.user.name


def _has_ended(starting: asyncio.Task[ConnectServer]) -> bool:
    if not starting.done():
        return False
    if starting.cancelled() or starting.exception() is not None:
        return True
    return starting.result().process.returncode is not None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
