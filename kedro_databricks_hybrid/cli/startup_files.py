"""Ask before files are brought here that programs run when they start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.cli.options import warn
from kedro_databricks_hybrid.cli.output import first_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Function = TypeVar("Function", bound=Callable[..., Any])


def startup_files_option(function: Function) -> Function:
    """Add --startup-files and --no-startup-files."""
    return click.option(
        "--startup-files/--no-startup-files",
        default=None,
        help="Bring, or leave out, files that programs run when they start, such as .envrc and conftest.py. "
        "By default you are asked; without a terminal they are left out.",
    )(function)


def consent(choice: bool | None) -> Callable[[Sequence[object]], bool]:
    """Return a function that lists such files and returns whether to bring them.

    Args:
        choice: The value of the option, None if it was not given: then a person is asked.
    """

    def may_take(paths: Sequence[object]) -> bool:
        warn(f"Programs may run these files when they start: {first_names(paths)}.")
        if choice is not None or not sys.stdin.isatty():
            return bool(choice)
        return click.confirm("Bring them here?", default=False, err=True)

    return may_take
