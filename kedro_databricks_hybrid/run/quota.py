"""Whether Databricks refused or ended a run since a quota or a limit was reached, by its words. Pure."""

from __future__ import annotations

import re

HINT = "Wait until other runs have ended or the quota is renewed, then run again."
"""What to do then."""

_WORDS = re.compile(
    r"quota|RESOURCE_EXHAUSTED|REQUEST_LIMIT_EXCEEDED|LIMIT_EXCEEDED|(limit|maximum)\b.*\b(reached|exceeded)",
    re.IGNORECASE,
)


def is_likely(words: str) -> bool:
    """Tell whether an error speaks of a quota or a limit."""
    return bool(_WORDS.search(words))
