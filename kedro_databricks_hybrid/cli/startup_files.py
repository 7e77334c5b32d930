"""Consent to files from elsewhere that programs run when they start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.cli.options import warn
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = TypeVar("Function", bound=Callable[..., Any])

_SHOWN = 5


def startup_files_option(function: Function) -> Function:
    """Add --startup-files and --no-startup-files."""
    return click.option(
        "--startup-files/--no-startup-files",
        default=None,
        help="Take, or leave out, files that programs run when they start, such as .envrc and conftest.py. "
        "Without it you are asked, and they are left out where nobody can answer.",
    )(function)


def consent(choice: bool | None) -> Callable[[Sequence[object]], bool]:
    """Return what names such files and tells whether to take them.

    Args:
        choice: What the option says, None where it was not given.
    """

    def may_take(paths: Sequence[object]) -> bool:
        warn(f"Programs may run these when they start: {named(paths)}.")
        if choice is not None or not sys.stdin.isatty():
            return bool(choice)
        return click.confirm("Take them?", default=False, err=True)

    return may_take


def named(paths: Sequence[object]) -> str:
    """Return the first of some paths as they may be printed."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(shown(str(path)) for path in paths[:_SHOWN]) + more
