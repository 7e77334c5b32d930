"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro_databricks_hybrid.errors import HybridError


class Level(Enum):
    """How much a finding matters: fine, worth knowing, or in the way."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Args:
        check: What was looked at.
        level: How much it matters.
        found: What was found; for red, the cause.
        fix: The one command or edit that mends it.
    """

    check: str
    level: Level
    found: str
    fix: str | None = None


def green(check: str, found: str) -> Finding:
    """Return a finding that is fine."""
    return Finding(check, Level.GREEN, found)


def yellow(check: str, found: str, fix: str | None = None) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check, Level.YELLOW, found, fix)


def red(check: str, found: str, fix: str) -> Finding:
    """Return a finding that is in the way."""
    return Finding(check, Level.RED, found, fix)


def refused(check: str, error: HybridError) -> Finding:
    """Return what an error says as a finding."""
    return Finding(check, Level.RED, error.message, error.hint)
