"""`kedro databricks sandbox`: the local workspace, started and stopped."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import sandbox_process
from kedro_databricks_hybrid.cli.command import Command, say

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.connection import Connection


@click.group()
def sandbox() -> None:
    """A local workspace that speaks Databricks' REST API: no account, no Docker.

    Use it with --profile=sandbox.
    """


@sandbox.command(cls=Command)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; the one it had before, or any."
)
def start(port: int | None) -> None:
    """Start the sandbox; one that runs already is left alone."""
    found = sandbox_process.running()
    connection = found or sandbox_process.start(port)
    say(f"The sandbox {'is running already' if found else 'is ready'} at {connection.host}")
    say("Use it with --profile=sandbox, such as `kedro databricks push --profile=sandbox`.")


@sandbox.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print host, token and user as JSON, for any client.")
def status(as_json: bool) -> None:
    """Tell whether the sandbox runs, and where."""
    connection = sandbox_process.require_running()
    if as_json:
        say(json.dumps(_facts(connection), indent=2))
    else:
        say(f"The sandbox runs at {connection.host} as process {connection.pid}, for {connection.user}.")
        say(f"Its files are in {connection.home}.")


@sandbox.command(cls=Command)
def stop() -> None:
    """Stop the sandbox and everything that runs in it; its files stay."""
    sandbox_process.stop(sandbox_process.require_running())
    say("The sandbox has stopped; its files stay for the next start.")


@sandbox.command(cls=Command)
@click.confirmation_option(prompt="Delete every file, Git folder and setting of the sandbox?")
def reset() -> None:
    """Stop the sandbox and delete all that it holds."""
    if connection := sandbox_process.running():
        sandbox_process.stop(connection)
    removed = sandbox_process.remove_home()
    say(f"Removed {removed}." if removed else "There is nothing to remove.")


def _facts(connection: Connection) -> dict[str, str | int]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in asdict(connection).items()
    }
