"""One IPython kernel in its environment: start it, run code, interrupt it, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.kernel.runtime import MODULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment

_START_SECONDS = 60
_END_SECONDS = 5
_MAX_SOCKET_PATH = 100  # Linux takes 107 bytes; a number is appended
_SOCKETS_LINK = "sockets"
_SOCKETS_PREFIX = "kernel-"
_LOG = "kernel.log"
_LOG_TAIL = 2000

Message = dict[str, Any]


class KernelDiedError(Exception):
    """The kernel's process ended or did not start; the message says why."""


@dataclass(frozen=True)
class Reply:
    """The result of running a piece of code.

    Attributes:
        error: The class name of the exception, None for success.
        value: The message of the exception.
        traceback: The lines of the traceback, with terminal colours.
    """

    error: str | None = None
    value: str = ""
    traceback: tuple[str, ...] = ()


class _Specification(KernelSpecManager):  # type: ignore[misc, unused-ignore]
    """Finds one kernel, in the given environment."""

    environment: NotebookEnvironment

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the command that starts the kernel."""
        command = [self.environment.python, "-m", f"{MODULES}.kernel.inside.startup"]
        return KernelSpec(
            argv=self.environment.inside([*command, "-f", "{connection_file}"]),
            display_name=kernel_name,
            language="python",
        )


class Kernel:
    """A running kernel, which runs one piece of code at a time.

    Attributes:
        ended: Done with the exit status once the process has ended.
    """

    def __init__(
        self, environment: NotebookEnvironment, manager: AsyncKernelManager, process: LocalProvisioner
    ) -> None:
        self._environment = environment
        self._manager = manager
        self._process = process.pid or 0
        self._client = manager.client()
        self._code_received = asyncio.Event()
        self.ended = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, environment: NotebookEnvironment, variables: dict[str, str]) -> Kernel:
        """Start the process and wait until it answers; end it if this is cancelled.

        Raises:
            KernelDiedError: It ended first, or did not answer in time.
        """
        launch = asyncio.create_task(cls._launch(environment, variables))
        try:
            await _completed(launch)
            await launch.result().become_ready()
        except BaseException:
            if launch.exception() is None:
                await launch.result().end()
            raise
        return launch.result()

    @classmethod
    async def _launch(cls, environment: NotebookEnvironment, variables: dict[str, str]) -> Kernel:
        specification = _Specification()
        specification.environment = environment
        manager = AsyncKernelManager(
            kernel_name="databricks",
            kernel_spec_manager=specification,
            transport="ipc",
            ip=str(_socket_folder(environment.folder) / "k"),
            connection_file=str(environment.folder / "connection.json"),
        )
        with (environment.folder / _LOG).open("wb") as log:
            await manager.start_kernel(env=variables, stdout=log, stderr=log)
        process = manager.provisioner
        if not isinstance(process, LocalProvisioner):
            raise KernelDiedError(f"{type(process).__name__} does not start kernels on this machine.")
        return cls(environment, manager, process)

    async def execute(self, code: str, on_output: Callable[[Message], None]) -> Reply:
        """Run code; call `on_output` with each message of output as it arrives.

        Raises:
            KernelDiedError: The process ended meanwhile.
        """
        self._code_received.clear()
        request = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        work = asyncio.gather(self._reply(request), self._outputs(request, on_output))
        if not await self._before_end(work):
            raise KernelDiedError(f"The Python process ended with exit status {await self.ended}.")
        return (await work)[0]

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the code that was sent last, as soon as the process has received it."""
        if await self._before_end(asyncio.ensure_future(self._code_received.wait())):
            await self._manager.interrupt_kernel()

    def kill(self) -> None:
        """Kill the process and its children, without waiting."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGTERM)  # namespace.py then kills all its children

    async def end(self) -> None:
        """End the kernel and every process that it started, even if this is cancelled meanwhile."""
        work = asyncio.create_task(self._end())
        await _completed(work)
        work.result()

    async def _end(self) -> None:
        self.kill()
        await asyncio.wait([self.ended], timeout=_END_SECONDS)
        if not self.ended.done():
            await self._manager.signal_kernel(signal.SIGKILL)
            await asyncio.wait([self.ended], timeout=_END_SECONDS)
        self.ended.cancel()
        self._client.stop_channels()
        await self._manager.cleanup_resources()
        sockets = Path(self._manager.ip).parent
        if sockets != self._environment.folder:
            await asyncio.to_thread(remove_tree, sockets)

    async def become_ready(self) -> None:
        """Wait until the process answers.

        Raises:
            KernelDiedError: It ended first, or did not answer in time.
        """
        self._client.start_channels(stdin=False, hb=False)
        ready = asyncio.ensure_future(self._client.wait_for_ready(timeout=_START_SECONDS))
        try:
            if await self._before_end(ready):
                await ready
                return
        except RuntimeError as error:  # how jupyter_client reports a timeout
            raise KernelDiedError(f"Python did not answer: {error}. {self._log_end()}") from error
        raise KernelDiedError(self._log_end())

    async def _before_end(self, work: asyncio.Future[Any]) -> bool:
        """Wait for work of the kernel; cancel it and return False if the kernel ends first."""
        try:
            await asyncio.wait([work, self.ended], return_when=asyncio.FIRST_COMPLETED)
            return work.done()
        finally:
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work

    async def _reply(self, request: str) -> Reply:
        while True:
            message = await self._client.get_shell_msg()
            if message["parent_header"].get("msg_id") == request:
                break
        content = message["content"]
        if content["status"] == "ok":
            return Reply()
        return Reply(
            str(content.get("ename", "Aborted")),
            str(content.get("evalue", "")),
            tuple(content.get("traceback", ())),
        )

    async def _outputs(self, request: str, on_output: Callable[[Message], None]) -> None:
        while True:
            message = await self._client.get_iopub_msg()
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    return
            else:
                if message["msg_type"] == "execute_input":
                    self._code_received.set()
                on_output(message)

    def _log_end(self) -> str:
        text = (
            (self._environment.folder / _LOG)
            .read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
            .strip()
        )
        return text or "The Python process ended before it was ready."


async def _completed(work: asyncio.Task[Any]) -> None:
    """Wait for work that must be completed, even if this is cancelled."""
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        await _completed(work)
        raise


def _socket_folder(folder: Path) -> Path:
    """Return a folder whose path is short enough for sockets."""
    if len(os.fsencode(folder)) < _MAX_SOCKET_PATH:
        return folder
    sockets = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX))
    link = folder / _SOCKETS_LINK
    link.unlink(missing_ok=True)
    link.symlink_to(sockets)
    return sockets


def remove_left(folder: Path) -> None:
    """Delete the folder of a killed server's kernel, and the folder of its sockets."""
    with contextlib.suppress(OSError):
        sockets = (folder / _SOCKETS_LINK).readlink()
        in_temporary = sockets.parent == Path(tempfile.gettempdir())
        if in_temporary and sockets.name.startswith(_SOCKETS_PREFIX):  # the kernel may change the link
            remove_tree(sockets)
    remove_tree(folder)
