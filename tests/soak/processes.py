"""The processes of the campaign: whoever is no part of the sandbox's server is an orphan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 15.0


def wait_for_no_orphans(home: Path, *tops: int) -> None:
    """Wait until every process of a sandbox's home is one of these or below one.

    Args:
        home: The sandbox's home.
        tops: The server's process while it runs, and commands that are at work.

    Raises:
        AssertionError: Some go on; the message names them.
    """
    deadline = time.monotonic() + _SECONDS
    while found := list(_orphans(home, tops)):
        assert time.monotonic() < deadline, f"orphans: {found}"
        time.sleep(0.1)


def kernels(server: int) -> int:
    """Return how many kernels run below a server."""
    return sum(
        "ipykernel" in " ".join(words) or "kernel_startup" in " ".join(words)
        for words in (_words(process) for process in psutil.Process(server).children())
    )


def _orphans(home: Path, tops: tuple[int, ...]) -> Iterator[list[str]]:
    belonging = {psutil.Process()}
    for top in (psutil.Process(pid) for pid in tops if psutil.pid_exists(pid)):
        belonging |= {top, *top.children(recursive=True)}
    for process in psutil.process_iter():
        if process not in belonging and _is_of(process, home):
            yield [str(process.pid), *_words(process)]


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return bool(process.environ().get("KEDRO_DATABRICKS_SANDBOX_HOME") == str(home))
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
