"""Numbers as people read them."""

from __future__ import annotations


def in_bytes(size: int) -> str:
    """Return a size with a decimal unit, such as `3.9 kB`."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"


def with_count(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
