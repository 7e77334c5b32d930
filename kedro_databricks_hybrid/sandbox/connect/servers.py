"""The Spark Connect servers: one process for each compute and user, started on demand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.connect.program import TOKEN_VARIABLE
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.kernel.runtime import MODULES

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Coroutine

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

SERVERLESS = "serverless"
"""The id of serverless compute, where others have the id of a cluster."""

_LOG = logging.getLogger(__name__)
_PROGRAM = f"{MODULES}.connect.program"
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
        process: The process of the server.
        environment: The environment in which it runs.
        is_serverless: Whether it has the limits of serverless compute.
        is_of_task: Whether the environment is that of a task, which deletes it.
    """

    port: int
    token: str
    process: Process
    environment: NotebookEnvironment
    is_serverless: bool
    is_of_task: bool

    async def end(self) -> None:
        """End the process and its children, and delete its files unless they belong to a task."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()  # namespace.py then kills all its children
        await self.process.wait()
        if not self.is_of_task:
            await asyncio.to_thread(self.environment.remove)


class ConnectServers:
    """Starts servers on demand, and ends them with their cluster or their task."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._starting: dict[tuple[str, str], asyncio.Task[ConnectServer]] = {}
        self._tasks: dict[str, _Launch] = {}
        sandbox.clusters.on_terminate(self._end_cluster)

    async def server(self, compute: str, user: User, runtime_version: str) -> ConnectServer:
        """Return a user's server on a cluster or on serverless compute, started if none runs.

        Raises:
            ConnectServerError: It did not start.
        """
        return await self._known((compute, user.name), lambda: self._start(compute, user, runtime_version))

    def add_task(self, environment: NotebookEnvironment, variables: dict[str, str]) -> None:
        """Register a task on serverless compute; its server starts on demand in the task's environment."""
        launch = _Launch("serverless compute", environment, variables, is_serverless=True, is_of_task=True)
        self._tasks[environment.access.token] = launch

    def is_task(self, token: str) -> bool:
        """Tell whether a token is that of a task on serverless compute."""
        return token in self._tasks

    async def of_task(self, token: str) -> ConnectServer:
        """Return the server of the task with this token, started if none runs.

        Raises:
            ConnectServerError: It did not start.
        """
        launch = self._tasks[token]
        return await self._known((launch.environment.name, launch.user), launch.start)

    async def end_task(self, environment: NotebookEnvironment) -> None:
        """End the server of a task, if one has started."""
        self._tasks.pop(environment.access.token, None)
        keys = [key for key in self._starting if key[0] == environment.name]
        for key in keys:
            self._starting[key].cancel()  # has no effect on a running server, which _end ends
        await self._end(keys)

    async def _known(
        self, key: tuple[str, str], start: Callable[[], Coroutine[Any, Any, ConnectServer]]
    ) -> ConnectServer:
        """Return the server with a key, started if none runs."""
        starting = self._starting.get(key)
        if starting is None or _has_ended(starting):
            starting = self._starting[key] = asyncio.create_task(start())
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
        variables = await asyncio.to_thread(environment.variables, user.name, runtime_version)
        launch = _Launch(compute, environment, variables, is_serverless=cluster_id is None, is_of_task=False)
        return await launch.start()


@dataclass(frozen=True)
class _Launch:
    """The arguments with which a server starts."""

    compute: str
    environment: NotebookEnvironment
    variables: dict[str, str]
    is_serverless: bool
    is_of_task: bool

    async def start(self) -> ConnectServer:
        """Start the process and wait until it serves.

        Raises:
            ConnectServerError: It did not start.
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
            line = await process.stdout.readline() if process.stdout is not None else b""
        except asyncio.CancelledError:
            await server.end()
            raise
        if line.strip() == b"ready":
            _LOG.info("Spark Connect for %s on %s serves on port %s", self.user, self.compute, port)
            return server
        log_text = log_file.read_text(encoding="utf-8", errors="replace")
        _LOG.error("Spark Connect on %s did not start: %s", self.compute, log_text[-_LOG_TAIL:])
        await server.end()
        raise ConnectServerError(
            f"Spark Connect did not start on {self.compute}; see the sandbox's server.log."
        )

    @property
    def user(self) -> str:
        """The name of the user of the server."""
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
