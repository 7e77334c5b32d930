"""Supervise a command on systems other than Linux: end it with its parent, and kill its processes at its end.

Every process of the command has a mark in its environment. The library adds it for children that are started
with another environment. Processes that do not load the library are found only while their parents run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    import psutil

_POLL_SECONDS = 0.25
_TERMINATED = 128 + signal.SIGTERM


class _Ended(BaseException):
    """This program got SIGTERM."""


def supervise(command: list[str], program: str, parent: int, mark: str) -> int:
    """Start the command, wait for it, kill what it leaves behind, and return its exit status.

    Args:
        command: Its arguments, with its name first.
        program: The file to execute.
        parent: The process id of the parent; the command ends when the parent does.
        mark: The text in the environment of every process of the command.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, lambda *_: None)  # for the command only; a handler is not inherited
    os.environ.pop("JPY_PARENT_PID", None)  # else ipykernel polls for another parent
    if os.getppid() != parent:
        return _TERMINATED
    try:
        return _wait(command, program, parent)
    except _Ended:
        return _TERMINATED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_all(mark)


def _wait(command: list[str], program: str, parent: int) -> int:
    try:
        child = subprocess.Popen(command, executable=program)
    except OSError as error:
        sys.stderr.write(f"{command[0]} could not be started: {error}\n")
        return 127
    while os.getppid() == parent:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = child.wait(_POLL_SECONDS)
            return status if status >= 0 else 128 - status
    return _TERMINATED


def _end_all(mark: str) -> None:
    """Kill every process of the command until none is left."""
    while found := _processes(mark):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)


def _processes(mark: str) -> list[psutil.Process]:
    import psutil

    found = psutil.Process().children(recursive=True)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(mark in value for value in process.environ().values()):
                found.append(process)
    return [process for process in found if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended
