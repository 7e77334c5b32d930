"""The ids and times that the families give their objects."""

from __future__ import annotations

import secrets
import time


def new_id(digits: int = 15) -> int:
    """Return a random number of that many digits; 15 fit in every client's numbers, also JavaScript's."""
    lowest: int = 10 ** (digits - 1)
    return lowest + secrets.randbelow(9 * lowest)


def now() -> int:
    """Return the time in milliseconds since the epoch, as the API counts it."""
    return int(time.time() * 1000)
