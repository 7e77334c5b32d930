"""Execution contexts, and the commands that each runs one by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import SANDBOX_FAILED
from kedro_databricks_hybrid.sandbox.kernel.process import Kernel, KernelDiedError
from kedro_databricks_hybrid.sandbox.kernel.results import Output, error_results, restarts_python

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment

_LOG = logging.getLogger(__name__)
_KEPT_COMMANDS = 1000
_SECONDS_PER_INTERRUPT = 5.0
_INTERRUPTS = 3  # before the kernel is killed
_CANCELLED = "CommandCancelledException"

ENDED = {"Finished", "Error"}


@dataclass(eq=False)
class Command:
    """One piece of code that is run in a context, and its results."""

    code: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "Queued"
    results: dict[str, Any] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, status: str, results: dict[str, Any] | None) -> None:
        """Set the final status."""
        self.status, self.results = status, results
        self.ended.set()

    def cancel(self) -> None:
        """End it as Databricks ends a cancelled command: finished, with an error."""
        self.end(
            "Finished", error_results(_CANCELLED, "Command cancelled", f"{_CANCELLED}: Command cancelled")
        )


class Context:
    """One Python process of one user on one cluster.

    Attributes:
        access: The token of its notebooks, and the secrets to redact in their output.
        status: Pending, Running or Error.
        error: The reason for the status Error.
        seconds_per_interrupt: How long to wait for a command to end before it is interrupted again.
        used: When a command last began or ended, in seconds of the monotonic clock.
    """

    def __init__(self, environment: NotebookEnvironment, cluster_id: str, user: str, version: str) -> None:
        self.id = environment.name
        self.access = environment.access
        self.cluster_id = cluster_id
        self.user = user
        self.status = "Pending"
        self.error = ""
        self.seconds_per_interrupt = _SECONDS_PER_INTERRUPT
        self.used = time.monotonic()
        self.commands: dict[str, Command] = {}
        self._environment = environment
        self._version = version
        self._kernel: Kernel | None = None
        self._waiting: deque[Command] = deque()
        self._wake = asyncio.Event()
        self._closing = ""
        self._running: Command | None = None
        self._cancelling: set[asyncio.Task[None]] = set()
        self._making = asyncio.create_task(asyncio.to_thread(environment.make))
        self._work = asyncio.create_task(self._run())

    @property
    def busy(self) -> bool:
        """Whether a command is running or queued."""
        return self._running is not None or bool(self._waiting)

    def submit(self, code: str) -> Command:
        """Queue a command."""
        command = Command(code)
        self.commands[command.id] = command
        for old in list(self.commands.values())[:-_KEPT_COMMANDS]:
            if old.status in ENDED:
                del self.commands[old.id]
        self._waiting.append(command)
        self._wake.set()
        return command

    def cancel(self, command: Command) -> None:
        """Remove a command from the queue, or interrupt it; do nothing if it has ended."""
        if command.status == "Queued":
            self._waiting.remove(command)
            command.cancel()
        elif command.status == "Running":
            command.status = "Cancelling"
            task = asyncio.create_task(self._interrupt(command))
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)

    async def close(self, reason: str) -> None:
        """End the process and every unfinished command."""
        self._closing = reason
        self._work.cancel()
        await asyncio.wait([self._work])
        await self._end(reason)
        await asyncio.wait([self._making])
        await asyncio.to_thread(self._environment.remove)

    async def _run(self) -> None:
        """Start the kernel, then run one command after another."""
        reason = SANDBOX_FAILED
        try:
            await asyncio.shield(self._making)  # a thread cannot be stopped in the middle
            kernel = await self._start_kernel()
            self.status = "Running"
            while True:
                command = await self._next(kernel)
                kernel = await self._execute(kernel, command)
        except (KernelDiedError, OSError) as error:
            reason = str(error)
        finally:  # also when this task is cancelled
            _LOG.info("Context %s of cluster %s ends: %s", self.id, self.cluster_id, reason)
            await self._end(self._closing or reason)

    async def _start_kernel(self) -> Kernel:
        variables = await asyncio.to_thread(self._environment.variables, self.user, self._version)
        self._kernel = await Kernel.start(self._environment, variables)
        return self._kernel

    async def _next(self, kernel: Kernel) -> Command:
        """Wait for a command; raise KernelDiedError if the kernel ends first."""
        while not self._waiting:
            self._wake.clear()
            wake = asyncio.create_task(self._wake.wait())
            try:
                await asyncio.wait([wake, kernel.ended], return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
            if kernel.ended.done():
                raise KernelDiedError(f"The Python process ended with exit status {kernel.ended.result()}.")
        return self._waiting.popleft()

    async def _execute(self, kernel: Kernel, command: Command) -> Kernel:
        """Run a command, and return the kernel for the next one."""
        self._running, command.status = command, "Running"
        self.used = time.monotonic()
        output = Output()
        reply = await kernel.execute(command.code, output.add)
        if command.status != "Running":
            command.cancel()
        else:
            if restarts_python(reply):
                await kernel.end()
                kernel = await self._start_kernel()
            command.end("Finished", self.access.redact(output.results(reply)))
        self.used = time.monotonic()
        self._running = None
        return kernel

    async def _interrupt(self, command: Command) -> None:
        """Interrupt a command until it ends; kill the kernel if it does not."""
        for _ in range(_INTERRUPTS):
            if self._kernel is None:
                return
            await self._kernel.interrupt()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(command.ended.wait(), self.seconds_per_interrupt)
                return
        if self._kernel is not None:
            self._kernel.kill()

    async def _end(self, reason: str) -> None:
        """Set the status Error, and end every unfinished command."""
        self.status, self.error = "Error", reason
        for task in self._cancelling:
            task.cancel()
        if self._running is not None:
            if self._running.status == "Cancelling":
                self._running.cancel()
            else:
                self._running.end("Error", error_results("ExecutionContextLost", reason, reason))
            self._running = None
        while self._waiting:
            self._waiting.popleft().cancel()
        if self._kernel is not None:
            kernel, self._kernel = self._kernel, None
            await kernel.end()
