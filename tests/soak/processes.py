"""The processes of the campaign; those not below the sandbox's server or a running command are orphans."""

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
    """Wait until every process of a campaign is one of these or a descendant of one.

    Args:
        scratch: The campaign's folder.
        tops: The server's process while it runs, and running commands.

    Raises:
        AssertionError: Orphans are left; the message names them.
    """
    deadline = time.monotonic() + _SECONDS
    while found := list(_orphans(scratch, tops)):
        assert time.monotonic() < deadline, f"orphans: {[[str(each.pid), *words(each)] for each in found]}"
        time.sleep(0.1)


def kill_all(scratch: Path) -> None:
    """Kill all processes of a campaign but this one, until none is left."""
    while found := list(_orphans(scratch, ())):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def kernels(server: int) -> int:
    """Return the number of kernels of a server."""
    return sum("kernel.inside.startup" in " ".join(words(each)) for each in psutil.Process(server).children())


def _orphans(scratch: Path, tops: tuple[int, ...]) -> Iterator[psutil.Process]:
    descendants: set[psutil.Process] = set()
    for pid in tops:
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(pid)
            descendants |= {top, *top.children(recursive=True)}
    for process in at_home_in(scratch):
        if process not in descendants:
            yield process
