"""An IPython kernel in which an interrupt stops the cell that runs, and nothing else.

ipykernel raises KeyboardInterrupt wherever the process is while it handles a request. In the kernel's own
code this loses the reply.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from traitlets import Type

if TYPE_CHECKING:
    from types import FrameType


class Shell(ZMQInteractiveShell):
    """Runs cells.

    Attributes:
        interrupted: Whether an interrupt arrived before the code of the cell began.
    """

    interrupted = False

    async def run_code(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as IPython has it
        """Run the code of a cell, unless it was interrupted before."""
        if self.interrupted:
            raise KeyboardInterrupt
        return await super().run_code(*arguments, **options)  # type: ignore[no-untyped-call]


class Kernel(IPythonKernel):
    """Handles requests."""

    shell_class = Type(Shell)

    def pre_handler_hook(self) -> None:
        """Note or raise interrupts from now on; ipykernel calls this before it handles a request."""
        Shell.interrupted = False
        self.saved_sigint_handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, _signal: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code is Shell.run_code.__code__:
                raise KeyboardInterrupt
            frame = frame.f_back
        Shell.interrupted = True
