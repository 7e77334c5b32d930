"""Whether a Python process that died was short of memory: the one guess that helps, in shared words."""

from __future__ import annotations

import re

LIKELY = "it was killed, which mostly means that the driver's memory ran out"
HINT = "Run it again with less data at a time or on a larger driver."
_WORDS = re.compile(r"exit status (-9|137)\b|OutOfMemory|out of memory|stopped unexpectedly", re.IGNORECASE)


def is_likely(words: str) -> bool:
    """Tell whether what Databricks says of a death is what it says when the driver's memory ran out."""
    return _WORDS.search(words) is not None
