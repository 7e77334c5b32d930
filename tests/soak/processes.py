"""The processes of the campaign: whoever is no part of the sandbox's server is an orphan.

They are known by their environment, whose home lies in the scratch folder.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil

from kedro_databricks_hybrid.sandbox.connection import HOME_VARIABLE

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
        assert time.monotonic() < deadline, f"orphans: {[[str(each.pid), *_words(each)] for each in found]}"
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
    return sum(
        "ipykernel" in " ".join(words) or "kernel_startup" in " ".join(words)
        for words in (_words(process) for process in psutil.Process(server).children())
    )


def _orphans(scratch: Path, tops: tuple[int, ...]) -> Iterator[psutil.Process]:
    belonging = {psutil.Process()}
    for top in (psutil.Process(pid) for pid in tops if psutil.pid_exists(pid)):
        belonging |= {top, *top.children(recursive=True)}
    for process in psutil.process_iter():
        if process not in belonging and _is_of(process, scratch):
            yield process


def _is_of(process: psutil.Process, scratch: Path) -> bool:
    try:
        homes = [process.environ().get(name, "") for name in ("HOME", HOME_VARIABLE)]
        return any(home.startswith(str(scratch)) for home in homes)
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
