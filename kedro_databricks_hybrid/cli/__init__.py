"""`kedro databricks ...`: options, output and exit codes; what a command does lies below this package."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "init": ("kedro_databricks_hybrid.cli.init:init", "Prepare a project and its Git folder on Databricks."),
    "push": (
        "kedro_databricks_hybrid.cli.push:push",
        "Bring the current commit and changed data to Databricks.",
    ),
    "pull": ("kedro_databricks_hybrid.cli.pull:pull", "Pull a branch into the Git folder on Databricks."),
    "run": ("kedro_databricks_hybrid.cli.run:run", "Run the pipeline on a cluster and follow its log."),
    "runs": ("kedro_databricks_hybrid.cli.runs:runs", "List the last runs."),
    "logs": ("kedro_databricks_hybrid.cli.runs:logs", "Print the log of a run."),
    "attach": ("kedro_databricks_hybrid.cli.runs:attach", "Follow a run that goes on."),
    "cancel": ("kedro_databricks_hybrid.cli.runs:cancel", "Cancel a run that goes on."),
    "data": ("kedro_databricks_hybrid.cli.data:data", "Push, pull and list data alone."),
    "sandbox": ("kedro_databricks_hybrid.cli.sandbox:sandbox", "A local workspace: no account, no Docker."),
}


class CommandsOnDemand(click.Group):
    """A group that imports a command when it is called, since Kedro loads every plugin on every command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(name="kedro-databricks-hybrid")
def commands() -> None:
    """The group that Kedro merges into its own; `databricks` is a group inside it."""


@commands.group(name="databricks", cls=CommandsOnDemand)
def databricks() -> None:
    """Write locally, keep code in Git, run on Databricks."""
