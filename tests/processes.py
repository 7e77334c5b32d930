"""Find processes of tests by the home folder in their environment, even if their parent has ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from kedro_databricks_hybrid.sandbox.connection import HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator


def at_home_in(folder: Path) -> Iterator[psutil.Process]:
    """Yield all processes, except this one, that were started with a home below a folder."""
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except psutil.Error:  # it has ended, or belongs to another user
            continue
        homes = [Path(variables.get(name, "/")) for name in ("HOME", HOME_VARIABLE)]
        if process != psutil.Process() and any(home.is_relative_to(folder) for home in homes):
            yield process


def words(process: psutil.Process) -> list[str]:
    """Return the command line of a process; an empty list if it has ended."""
    try:
        return [str(word) for word in process.cmdline()]
    except psutil.Error:
        return []
