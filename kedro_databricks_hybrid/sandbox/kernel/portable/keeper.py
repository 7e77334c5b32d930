"""Keep a command where the system helps less than Linux: it ends with its parent, and leaves no process.

Every process of the command has a mark in its environment, which the library gives to children that are
started with an environment of their own. Processes that load no library are found as long as their parents
live.
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

_LOOK_SECONDS = 0.25
_TOLD_TO_END = 128 + signal.SIGTERM


class _Ended(BaseException):
    """This program was told to end."""


def keep(command: list[str], program: str, parent: int, mark: str) -> int:
    """Start a command by its program's file, wait for it, and return its exit status.

    Args:
        command: The command's words.
        program: The file that is started.
        parent: The process without which the command ends.
        mark: What the environment of every process of the command holds.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, lambda *_: None)  # for the command, not for its keeper; not inherited
    os.environ.pop("JPY_PARENT_PID", None)  # else ipykernel polls for a parent that is not this one
    if os.getppid() != parent:
        return _TOLD_TO_END
    try:
        return _wait(command, program, parent)
    except _Ended:
        return _TOLD_TO_END
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
            status = child.wait(_LOOK_SECONDS)
            return status if status >= 0 else 128 - status
    return _TOLD_TO_END


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
    return [process for process in found if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended
