"""What the commands share: the base class that reports errors, common options, and printing lines."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.errors import HybridError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from kedro_databricks_hybrid.databricks.workspace import Workspace

    Function = TypeVar("Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A HybridError as click reports it: one line on stderr, and the error's exit status."""

    def __init__(self, error: HybridError) -> None:
        super().__init__(str(error))
        setattr(self, "exit_code", error.exit_status)  # noqa: B010 - click types it as the class's own

    def show(self, file: IO[Any] | None = None) -> None:
        """Print only the message; Kedro's version of this method adds a traceback notice."""
        click.echo(
            click.style("Error: ", fg="red", bold=True, reset=True) + self.message,
            err=True,
            file=file,
            color=_colour(),
        )


class Command(click.Command):
    """A command that prints HybridErrors, and errors such as a full disk, as one line.

    Any other exception is a bug and shows its traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own type
        """Run the command."""
        ctx.color = _colour()
        try:
            return super().invoke(ctx)
        except HybridError as error:
            raise Failure(error) from error
        except OSError as error:
            machine_error = MachineError.of(error)
            if machine_error is None:
                raise
            raise Failure(machine_error) from error


def _colour() -> bool | None:
    """Return False if NO_COLOR is set; with None, click uses colours on a terminal only."""
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
    """Add --env; `run` has Kedro's own instead."""
    return click.option(
        "--env",
        "-e",
        metavar="NAME",
        envvar="KEDRO_ENV",
        help="Kedro env whose databricks.yml applies; `databricks` by default if the project has it.",
    )(function)


def json_option(function: Function) -> Function:
    """Add --json, which moves all other output to stderr."""
    text = "Print the result as one line of JSON; other output goes to stderr."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def connect(profile: str | None) -> Workspace:
    """Log in to a workspace, and say if variables of the environment beat the profile.

    Raises:
        LoginError: As `workspace.connect`.
        ConnectionFailedError: As `workspace.connect`.
    """
    from kedro_databricks_hybrid.databricks import workspace

    found = workspace.connect(profile)
    if found.overriding:
        names = " and ".join(found.overriding)
        warn(f"{names} of the environment is used, not the profile {profile}'s own login.")
    return found


def say(line: str) -> None:
    """Print one line of progress or result: on stdout, or on stderr if stdout is for JSON."""
    context = click.get_current_context(silent=True)
    click.echo(line, err=bool(context and context.params.get("as_json")))


def say_json(document: object) -> None:
    """Print a document as one line of JSON, the last line on stdout: Kedro may print lines before it."""
    click.echo(json.dumps(document))


def warn(line: str) -> None:
    """Print a warning on stderr."""
    click.echo(click.style("Note: ", fg="yellow") + line, err=True)
