"""Recognise errors about a quota or a limit by Databricks' message. Pure."""

from __future__ import annotations

import re

HINT = "Wait until other runs have ended or the quota is renewed, then run again."
"""The next step after such an error."""

_PATTERN = re.compile(
    r"quota|RESOURCE_EXHAUSTED|REQUEST_LIMIT_EXCEEDED|LIMIT_EXCEEDED|\bMAX_\w+_EXCEEDED|(limit|maximum)\b.*\b(reached|exceeded)",
    re.IGNORECASE,
)


def is_likely(message: str) -> bool:
    """Tell whether an error message mentions a quota or a limit."""
    return bool(_PATTERN.search(message))
