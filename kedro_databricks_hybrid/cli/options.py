"""What the commands share: the base class that reports errors, common options, and printing lines."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

import click
from kedro.framework.cli.utils import _split_params, split_string

from kedro_databricks_hybrid.errors import HybridError, MachineError
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    Function = TypeVar("Function", bound=Callable[..., Any])


# Control characters except line feeds and tabs, surrogates, and what changes the direction of text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class Failure(click.ClickException):
    """A HybridError as click reports it: one line on stderr, and the error's exit status."""

    def __init__(self, error: HybridError) -> None:
        super().__init__(str(error))
        setattr(self, "exit_code", error.exit_status)  # noqa: B010 - click types it as the class's own

    def show(self, file: IO[Any] | None = None) -> None:
        """Print only the message; Kedro's version of this method adds a traceback notice."""
        click.echo(
            click.style("Error: ", fg="red", bold=True, reset=True) + _printable(self.message),
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


def catalog_options(function: Function) -> Function:
    """Add --params and --pipelines, which change what is read from the catalog."""
    params = click.option(
        "--params",
        metavar="PARAMS",
        type=click.UNPROCESSED,
        default="",
        callback=_split_params,
        help="Parameters as for `kedro run --params`, for ${runtime_params:} in the catalog.",
    )
    pipelines = click.option(
        "--pipelines",
        metavar="NAMES",
        default="",
        callback=split_string,
        help="Data of these pipelines only.",
    )
    return params(pipelines(function))


def json_option(function: Function) -> Function:
    """Add --json, which moves all other output to stderr."""
    text = "Print the result as one line of JSON; other output goes to stderr."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def say(line: str, label: str = "") -> None:
    """Print one line of progress or result: on stdout, or on stderr if stdout is for JSON.

    Args:
        line: The line; control characters in it are replaced with escapes.
        label: What to print before it, with click's styles.
    """
    context = click.get_current_context(silent=True)
    click.echo(label + _printable(line), err=bool(context and context.params.get("as_json")))


def say_json(document: object) -> None:
    """Print a document as one line of JSON, the last line on stdout: Kedro may print lines before it."""
    click.echo(json.dumps(document))


def warn(line: str) -> None:
    """Print a warning on stderr."""
    click.echo(click.style("Note: ", fg="yellow") + _printable(line), err=True)


def _printable(text: str) -> str:
    """Return a text in which nothing from Databricks can move the cursor or hide other text."""
    return _UNPRINTABLE.sub(lambda found: shown(found[0]), text)
