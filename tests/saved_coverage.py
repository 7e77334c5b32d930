"""A plugin of coverage.py that saves the data of processes that will be killed, about every second.

Kernels of the sandbox's clusters are ended by SIGKILL, as on Databricks, so they cannot save at their end.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

import coverage

if TYPE_CHECKING:
    from coverage.plugin_support import Plugins

_KILLED = {f"databricks_sandbox.{name}" for name in ("kernel.inside.startup", "connect.program")}
_EVERY_SECONDS = 1.0


def coverage_init(_registry: Plugins, _options: object) -> None:
    """Start saving if this process is one that will be killed."""
    if not _KILLED.isdisjoint(sys.orig_argv):
        threading.Thread(target=_save_regularly, daemon=True, name="coverage").start()


def _save_regularly() -> None:
    while True:
        time.sleep(_EVERY_SECONDS)
        measuring = coverage.Coverage.current()
        if measuring is not None:
            with contextlib.suppress(
                RuntimeError
            ):  # the data changed while it was saved; try again next time
                measuring.save()
