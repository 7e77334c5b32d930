"""What every command shares: how it reports a failure, and the options that several have."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.errors import HybridError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    Function = TypeVar("Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error of ours as click reports it: one line on stderr and the error's exit status."""

    def __init__(self, error: HybridError) -> None:
        super().__init__(str(error))
        setattr(self, "exit_code", error.exit_status)  # noqa: B010 - click types it as the class's own

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message; Kedro's own errors print a traceback notice here."""
        click.echo(
            click.style("Error: ", fg="red", bold=True, reset=True) + self.message,
            err=True,
            file=file,
            color=_colour(),
        )


class Command(click.Command):
    """A command whose HybridErrors end as one line, and so do a full disk and its like.

    Anything else is a bug and shows its traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own type
        """Call the command."""
        ctx.color = _colour()
        try:
            return super().invoke(ctx)
        except HybridError as error:
            raise Failure(error) from error
        except OSError as error:
            refusal = MachineError.of(error)
            if refusal is None:
                raise
            raise Failure(refusal) from error


def _colour() -> bool | None:
    """Return False where NO_COLOR forbids colours; None lets click see whether it prints on a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def profile_option(function: Function) -> Function:
    """Add --profile."""
    return click.option(
        "--profile",
        metavar="NAME",
        envvar="DATABRICKS_CONFIG_PROFILE",
        help="Profile of ~/.databrickscfg to log in with; `sandbox` is the local workspace.",
    )(function)


def env_option(function: Function) -> Function:
    """Add --env, for the commands that are not `run` (which has Kedro's own)."""
    return click.option(
        "--env",
        "-e",
        metavar="NAME",
        envvar="KEDRO_ENV",
        help="Kedro env whose databricks.yml applies; `databricks` where the project has one.",
    )(function)


def json_option(function: Function) -> Function:
    """Add --json, with which the lines for people go to stderr."""
    text = "Print the outcome as one line of JSON; what people read goes to stderr."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def say(line: str) -> None:
    """Print one line of progress or result; beside JSON, it goes to stderr."""
    context = click.get_current_context(silent=True)
    click.echo(line, err=bool(context and context.params.get("as_json")))


def say_json(document: object) -> None:
    """Print a document as one line of JSON, the last on stdout: Kedro may have printed a line before it."""
    click.echo(json.dumps(document))


def warn(line: str) -> None:
    """Print one line that the user should know of, on stderr."""
    click.echo(click.style("Note: ", fg="yellow") + line, err=True)
