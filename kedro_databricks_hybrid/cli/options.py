"""What the commands share: the base class that reports errors, common options, and printing lines."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
import rich
from click.core import ParameterSource
from kedro.framework.cli.utils import _split_params, split_string

from kedro_databricks_hybrid.errors import HybridError, MachineError
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from kedro_databricks_hybrid.databricks.workspace import Workspace

    Function = TypeVar("Function", bound=Callable[..., Any])


# Control characters except line feeds and tabs, surrogates, and what changes the direction of text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


_LOGINS = f"{__name__}.logins"
_CLEAR_LINE = "\r\x1b[K"
_waiting: list[str] = []
"""The line that `waiting` shows."""


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse an empty value, as `--cluster=$NAME` has if NAME is not set: it would count as no option."""
        rest = super().parse_args(ctx, args)
        for option in self.params:
            name = str(option.name)
            is_typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if is_typed and ctx.params.get(name) == "":
                raise click.UsageError(
                    f"{max(option.opts, key=len)} is empty. Give it a value or leave it out.", ctx
                )
        return rest

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own type
        """Run the command."""
        ctx.color = _colour()
        if wants_json() and not rich.get_console().stderr:
            rich.reconfigure(stderr=True)  # the console of Kedro's log
            ctx.call_on_close(lambda: rich.reconfigure(stderr=False))
        try:
            return super().invoke(ctx)
        except HybridError as error:
            raise Failure(error) from error
        except OSError as error:
            machine_error = MachineError.of(error)
            if machine_error is None and isinstance(error, PermissionError) and error.filename:
                machine_error = MachineError(
                    f"{error.strerror} ({error.filename}).", hint="Change its permissions, then try again."
                )
            if machine_error is None:
                raise
            raise Failure(machine_error) from error


class Group(click.Group):
    """A group that names the nearest command if a name is mistyped."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was called."""
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, known, n=1)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


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


ENV_HELP = "Kedro env whose databricks.yml applies; `databricks` by default if the project has it."


def env_option(function: Function) -> Function:
    """Add --env; `run` has Kedro's own instead."""
    return click.option(
        "--env",
        "-e",
        metavar="NAME",
        envvar="KEDRO_ENV",
        help=ENV_HELP,
    )(function)


def log_in(profile: str | None) -> Workspace:
    """Log in, once for a command and those that it calls, as `run --push` calls `push`.

    Raises:
        HybridError: As `connect`.
    """
    from kedro_databricks_hybrid.databricks.workspace import connect  # not on every `kedro` command

    logins: dict[str | None, Workspace] = click.get_current_context().meta.setdefault(_LOGINS, {})
    if profile not in logins:
        logins[profile] = connect(profile, warn)
    return logins[profile]


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


def dry_run_option(function: Function) -> Function:
    """Add --dry-run."""
    return click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")(function)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a line on a terminal while the block runs, until it prints something or ends.

    Args:
        what: The line, such as `Pushing main to https://github.com/team/shop.git`.
    """
    if not sys.stderr.isatty():
        yield
        return
    click.echo(f"{what} ... ", nl=False, err=True)
    _waiting.append(what)
    try:
        yield
    finally:
        _clear_line()


def _clear_line() -> None:
    if _waiting:
        _waiting.clear()
        click.echo(_CLEAR_LINE, nl=False, err=True)


def say(line: str, label: str = "") -> None:
    """Print one line of progress or result: on stdout, or on stderr if stdout is for JSON.

    Args:
        line: The line; control characters in it are replaced with escapes.
        label: What to print before it, with click's styles.
    """
    _clear_line()
    click.echo(label + _printable(line), err=wants_json())


def wants_json() -> bool:
    """Return whether stdout is for JSON, by the option of this command or of the one that called it."""
    context = click.get_current_context(silent=True)
    while context:
        if context.params.get("as_json"):
            return True
        context = context.parent
    return False


def say_json(document: object) -> None:
    """Print a document as one line of JSON, the last line on stdout; Kedro logs a line there first."""
    click.echo(json.dumps(document))


def warn(line: str) -> None:
    """Print a warning on stderr."""
    _clear_line()
    click.echo(click.style("Note: ", fg="yellow") + _printable(line), err=True)


def _printable(text: str) -> str:
    """Return a text in which nothing from Databricks can move the cursor or hide other text."""
    return _UNPRINTABLE.sub(lambda found: shown(found[0]), text)
