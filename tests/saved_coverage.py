"""A plugin of coverage.py for processes that are killed: what they have executed is saved while they work.

The kernels of a sandbox's clusters end by SIGKILL, as on Databricks, which leaves no time to save anything.
Like everything of Databricks, they cannot be asked to; so each saves itself, about every second.
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

_KILLED = {f"kedro_databricks_hybrid.sandbox.{name}" for name in ("kernel.inside.startup", "connect.program")}
_EVERY_SECONDS = 1.0


def coverage_init(_registry: Plugins, _options: object) -> None:
    """Start saving, where this process is one that will be killed."""
    if not _KILLED.isdisjoint(sys.orig_argv):
        threading.Thread(target=_save_again_and_again, daemon=True, name="coverage").start()


def _save_again_and_again() -> None:
    while True:
        time.sleep(_EVERY_SECONDS)
        measuring = coverage.Coverage.current()
        if measuring is not None:
            with contextlib.suppress(RuntimeError):  # a dictionary grew; the next time then
                measuring.save()
