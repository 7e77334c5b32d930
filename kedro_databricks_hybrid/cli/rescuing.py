"""What push and pull share about edits that were made in the Git folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.cli.command import say
from kedro_databricks_hybrid.cli.startup_files import consent, startup_files_option
from kedro_databricks_hybrid.rescue import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.workspace import Workspace

    Function = TypeVar("Function", bound=Callable[..., Any])

_ANSWER = "discard"


def rescue_options(function: Function) -> Function:
    """Add --save, --force and --startup-files."""
    save = click.option(
        "--save", is_flag=True, help="Bring edits made in the Git folder here, as a branch of their own."
    )
    force = click.option(
        "--force",
        is_flag=True,
        help="Give edits made in the Git folder up, after saving them as --save does.",
    )
    return save(force(startup_files_option(function)))


def way(verb: str, workspace: Workspace, *, save: bool, force: bool, startup_files: bool | None) -> Way:
    """Return how a command deals with edits in the Git folder."""

    def may_discard() -> bool:
        if force or not sys.stdin.isatty():
            return force
        question = (
            f"Type {_ANSWER!r} to give these edits up on Databricks, or press Enter to leave them there"
        )
        return bool(click.prompt(question, default="", show_default=False) == _ANSWER)

    again = f"kedro databricks {verb}{workspace.flags}"
    return Way(save or force, may_discard, say, again, consent(startup_files))
