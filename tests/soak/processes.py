"""The processes of the campaign: whoever is no part of the sandbox's server is an orphan."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil

from tests.processes import at_home_in, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS = 15.0


def wait_for_no_orphans(scratch: Path, *tops: int) -> None:
    """Wait until every process of a campaign is one of these or below one.

    Args:
        scratch: The campaign's folder.
        tops: The server's process while it runs, and commands that are at work.

    Raises:
        AssertionError: Some go on; the message names them.
    """
    deadline = time.monotonic() + _SECONDS
    while found := list(_orphans(scratch, tops)):
        assert time.monotonic() < deadline, f"orphans: {[[str(each.pid), *words(each)] for each in found]}"
        time.sleep(0.1)


def kill_all(scratch: Path) -> None:
    """Kill every process of a campaign but its own, until there is none."""
    while found := list(_orphans(scratch, ())):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def kernels(server: int) -> int:
    """Return how many kernels run below a server."""
    return sum("kernel.inside.startup" in " ".join(words(each)) for each in psutil.Process(server).children())


def _orphans(scratch: Path, tops: tuple[int, ...]) -> Iterator[psutil.Process]:
    belonging: set[psutil.Process] = set()
    for pid in tops:
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(pid)
            belonging |= {top, *top.children(recursive=True)}
    for process in at_home_in(scratch):
        if process not in belonging:
            yield process
