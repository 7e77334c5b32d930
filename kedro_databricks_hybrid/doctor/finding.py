"""The finding of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro_databricks_hybrid.errors import HybridError


class Level(Enum):
    """The level of a finding: fine, a warning, or a problem that stops the workflow."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Args:
        check: The name of the check.
        level: Its level.
        found: What was found; for red, the cause.
        fix: The command or edit that fixes it.
    """

    check: str
    level: Level
    found: str
    fix: str | None = None


def green(check: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, Level.GREEN, found)


def yellow(check: str, found: str, fix: str | None = None) -> Finding:
    """Return a warning."""
    return Finding(check, Level.YELLOW, found, fix)


def red(check: str, found: str, fix: str) -> Finding:
    """Return a problem that stops the workflow."""
    return Finding(check, Level.RED, found, fix)


def refused(check: str, error: HybridError) -> Finding:
    """Return an error as a finding."""
    return Finding(check, Level.RED, error.message, error.hint)
