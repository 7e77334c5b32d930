"""A file's two sides in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro_databricks_hybrid.transfer.plan import Pair


def facts(pair: Pair) -> str:
    """Return a path with size and time of both its files."""
    here = f"here {pair.here.size} bytes of {clock(pair.here.modified)}" if pair.here else "not here"
    there = f"there {pair.there.size} bytes of {clock(pair.there.modified)}" if pair.there else "not there"
    return f"{pair.path} ({here}, {there})"


def clock(milliseconds: int) -> str:
    """Return a time as people here read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000)) if milliseconds else "-"
