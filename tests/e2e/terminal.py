"""A person at a terminal who answers questions, and the process list of the machine meanwhile."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.commands import Shell


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Gather every command line that is seen on this machine meanwhile."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join()


def type_answers(shell: Shell, arguments: str, answers: dict[str, str]) -> str:
    """Call `kedro databricks` on a terminal, answer its questions, and return what the terminal showed."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "kedro"), "databricks", *arguments.split()],
        cwd=shell.folder,
        env=shell._environment({"TERM": "dumb"}),  # noqa: SLF001 - a shell's own, on a terminal
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    screen, waiting = "", dict(answers)
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the last process has closed it
            break
        screen += read.decode(errors="replace")
        for question in [each for each in waiting if each in screen]:
            os.write(terminal, f"{waiting.pop(question)}\n".encode())
    process.wait(timeout=60)
    os.close(terminal)
    return screen
