"""Run commands on a pseudo-terminal, answer their questions and press keys; record all process lines."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.commands import Shell

CTRL_C = "\x03"
"""The character of Ctrl-C, which the terminal turns into SIGINT."""

_REACTION_SECONDS = 0.3  # a command may print its question a moment before it reads keys


@dataclass(frozen=True)
class Screen:
    """What a terminal showed, and the exit status of the command."""

    text: str
    status: int

    def __str__(self) -> str:
        return f"{self.text}\n--- exit status {self.status}"


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Collect the command line of every process on this machine while the block runs."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join(timeout=10)
    assert not watching.is_alive(), "the process list could not be read to its end"


def type_at(shell: Shell, arguments: str, keys: dict[str, str]) -> Screen:
    """Run `kedro databricks` on a new pseudo-terminal and type keys.

    Args:
        shell: The folder and environment of the command.
        arguments: The arguments after `kedro databricks`, separated by spaces.
        keys: What to type, by the words on the screen after which it is typed; each is typed once.
    """
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "kedro"), "databricks", *arguments.split()],
        cwd=shell.folder,
        env=shell._environment({"TERM": "dumb"}),  # noqa: SLF001 - a shell's own, on a terminal
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=_have_keys,  # noqa: PLW1509 - before the test's other thread matters
    )
    os.close(end)
    screen, waiting = "", dict(keys)
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # every process has closed the terminal
            break
        screen += read.decode(errors="replace")
        for words in [each for each in waiting if each in screen]:
            time.sleep(_REACTION_SECONDS)
            os.write(terminal, waiting.pop(words).encode())
    status = process.wait(timeout=60)
    os.close(terminal)
    assert not waiting, f"{waiting} was never typed: {screen}"
    return Screen(screen, status)


def type_answers(shell: Shell, arguments: str, answers: dict[str, str]) -> str:
    """Run `kedro databricks` on a terminal, answer its questions, and return what the terminal showed."""
    return type_at(shell, arguments, {question: f"{answer}\n" for question, answer in answers.items()}).text


def _have_keys() -> None:
    """Make the terminal the controlling one, so that its Ctrl-C interrupts this process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
