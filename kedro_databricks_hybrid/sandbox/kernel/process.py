"""One IPython kernel in an environment of its own: start it, run code in it, interrupt it, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

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
    """The kernel's process ended, or could not be started; the message says why."""


@dataclass(frozen=True)
class Reply:
    """How a piece of code ended.

    Attributes:
        error: The exception's class name, None if there was none.
        value: The exception's message.
        traceback: Its lines, with terminal colours.
    """

    error: str | None = None
    value: str = ""
    traceback: tuple[str, ...] = ()


class _Specification(KernelSpecManager):  # type: ignore[misc, unused-ignore]
    """Knows one kernel: the one that runs in the given environment."""

    environment: NotebookEnvironment

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return how that kernel is started."""
        command = [self.environment.python, "-m", "kedro_databricks_hybrid.sandbox.kernel.inside.startup"]
        return KernelSpec(
            argv=self.environment.inside([*command, "-f", "{connection_file}"]),
            display_name=kernel_name,
            language="python",
        )


class Kernel:
    """A running kernel; one piece of code at a time.

    Attributes:
        ended: Done with the exit status when the process has ended.
    """

    def __init__(
        self, environment: NotebookEnvironment, manager: AsyncKernelManager, process: LocalProvisioner
    ) -> None:
        self._environment = environment
        self._manager = manager
        self._process = process.pid or 0
        self._client = manager.client()
        self.ended = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, environment: NotebookEnvironment, variables: dict[str, str]) -> Kernel:
        """Start the process and wait until it answers; a start that is cancelled leaves none.

        Raises:
            KernelDiedError: It ended before it answered, or did not answer in time.
        """
        launch = asyncio.create_task(cls._launch(environment, variables))
        try:
            await _to_the_end(launch)
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
        """Run code; `on_output` gets each message of output at the moment it arrives.

        Raises:
            KernelDiedError: The process ended meanwhile.
        """
        request = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        work = asyncio.gather(self._reply(request), self._outputs(request, on_output))
        if not await self._before_end(work):
            raise KernelDiedError(f"The Python process ended with exit status {await self.ended}.")
        return (await work)[0]

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the code that runs."""
        await self._manager.interrupt_kernel()

    def tell_to_end(self) -> None:
        """Have the process and all that it started killed, without waiting for that."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGTERM)  # namespace.py then kills all below it

    async def end(self) -> None:
        """End the kernel and every process that it started, also where this is cancelled meanwhile."""
        work = asyncio.create_task(self._end())
        await _to_the_end(work)
        work.result()

    async def _end(self) -> None:
        self.tell_to_end()
        await asyncio.wait([self.ended], timeout=_END_SECONDS)
        if not self.ended.done():
            await self._manager.signal_kernel(signal.SIGKILL)
            await asyncio.wait([self.ended], timeout=_END_SECONDS)
        self.ended.cancel()
        self._client.stop_channels()
        await self._manager.cleanup_resources()
        sockets = Path(self._manager.ip).parent
        if sockets != self._environment.folder:
            await asyncio.to_thread(shutil.rmtree, sockets, ignore_errors=True)

    async def become_ready(self) -> None:
        """Wait until the process answers.

        Raises:
            KernelDiedError: It ended before, or did not answer in time.
        """
        self._client.start_channels(stdin=False, hb=False)
        ready = asyncio.ensure_future(self._client.wait_for_ready(timeout=_START_SECONDS))
        try:
            if await self._before_end(ready):
                await ready
                return
        except RuntimeError as error:  # jupyter_client's way to say that the time is over
            raise KernelDiedError(f"Python did not answer: {error}. {self._last_words()}") from error
        raise KernelDiedError(self._last_words())

    async def _before_end(self, work: asyncio.Future[Any]) -> bool:
        """Wait for work that the kernel does; False, with the work given up, if the kernel ends first."""
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
                on_output(message)

    def _last_words(self) -> str:
        text = (
            (self._environment.folder / _LOG)
            .read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
            .strip()
        )
        return text or "The Python process ended before it was ready."


async def _to_the_end(work: asyncio.Task[Any]) -> None:
    """Wait for work that must not be left half done: whoever cancels this waits for it as well."""
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        await _to_the_end(work)
        raise


def _socket_folder(folder: Path) -> Path:
    """Return a folder whose name is short enough for sockets in it."""
    if len(os.fsencode(folder)) < _MAX_SOCKET_PATH:
        return folder
    sockets = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX))
    link = folder / _SOCKETS_LINK
    link.unlink(missing_ok=True)
    link.symlink_to(sockets)
    return sockets


def remove_left(folder: Path) -> None:
    """Delete what a kernel of a killed server left: its folder, and that of its sockets elsewhere."""
    with contextlib.suppress(OSError):
        sockets = (folder / _SOCKETS_LINK).readlink()
        is_ours = sockets.parent == Path(tempfile.gettempdir()) and sockets.name.startswith(_SOCKETS_PREFIX)
        if is_ours:  # code in the kernel may have changed the link
            shutil.rmtree(sockets, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
