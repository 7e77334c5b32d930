"""`kedro databricks ...`: options, output and exit codes; the other packages do the work."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from kedro_databricks_hybrid.cli import other_plugins
from kedro_databricks_hybrid.cli.options import Failure, Group
from kedro_databricks_hybrid.errors import HybridError

_COMMANDS = {
    "init": ("kedro_databricks_hybrid.cli.init:init", "Prepare a project and its Git folder on Databricks."),
    "doctor": (
        "kedro_databricks_hybrid.cli.doctor:doctor",
        "Check everything that the workflow needs, and name the command that fixes each problem.",
    ),
    "status": (
        "kedro_databricks_hybrid.cli.status:status",
        "Compare code and data on this machine and on Databricks.",
    ),
    "push": (
        "kedro_databricks_hybrid.cli.push:push",
        "Push the current commit and changed data to Databricks.",
    ),
    "pull": ("kedro_databricks_hybrid.cli.pull:pull", "Pull a branch into the Git folder on Databricks."),
    "run": ("kedro_databricks_hybrid.cli.run:run", "Run the pipeline on a cluster and follow its log."),
    "runs": ("kedro_databricks_hybrid.cli.runs:runs", "List the latest runs."),
    "logs": ("kedro_databricks_hybrid.cli.runs:logs", "Print the log of a run."),
    "attach": ("kedro_databricks_hybrid.cli.runs:attach", "Follow a run in progress."),
    "cancel": ("kedro_databricks_hybrid.cli.runs:cancel", "Cancel a run in progress."),
    "notebook": (
        "kedro_databricks_hybrid.cli.notebook:notebook",
        "Write the notebook that runs the project, and print its address.",
    ),
    "deploy": ("kedro_databricks_hybrid.cli.deploy:deploy", "Create or update a job for the project."),
    "catalog": (
        "kedro_databricks_hybrid.cli.catalog:catalog",
        "Show the path or table of each dataset in each env.",
    ),
    "data": ("kedro_databricks_hybrid.cli.data:data", "Push, pull and list data without code."),
    "secrets": (
        "kedro_databricks_hybrid.cli.secrets:secrets",
        "Set, push and list the secrets that the project's credentials need on Databricks.",
    ),
    "sandbox": ("kedro_databricks_hybrid.cli.sandbox:sandbox", "A local workspace: no account, no Docker."),
}
_WITHOUT_PROJECT = {"sandbox"}


class CommandsOnDemand(Group):
    """A group that imports a command when it is called: Kedro loads every plugin on every command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was called; outside a project, most commands name the projects nearby."""
        name = args[0]
        needs_project = name in self.list_commands(ctx) and name not in _WITHOUT_PROJECT
        asks_help = ctx.resilient_parsing or {*args} & {*ctx.help_option_names}
        if needs_project and ctx.obj is None and not asks_help:
            raise Failure(_no_project(Path.cwd()))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a new user needs them, then those of other plugins."""
        return [*_COMMANDS, *_commands_of_other_plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command of this plugin, or return another plugin's."""
        if cmd_name not in _COMMANDS:
            return _commands_of_other_plugins().get(cmd_name)
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])
        if others := _commands_of_other_plugins():
            with formatter.section("Commands of other plugins"):
                formatter.write_dl([(name, each.get_short_help_str()) for name, each in others.items()])


def _no_project(folder: Path) -> HybridError:
    """Return an error that names the Kedro projects up to two folders below one that is not in a project."""
    from kedro.utils import is_kedro_project

    below = sorted(file.parent for depth in ("*", "*/*") for file in folder.glob(f"{depth}/pyproject.toml"))
    names = [str(path.relative_to(folder)) for path in below if is_kedro_project(path)]
    hint = (
        f"cd into one of: {', '.join(names)}."
        if names
        else "Create one with `kedro new --starter=pyspark-iris`."
    )
    return HybridError(f"{folder} is not in a Kedro project.", hint=hint)


@click.group(name="kedro-databricks-hybrid")
def commands() -> None:
    """The group that Kedro merges into its own; it contains the group `databricks`."""


@commands.group(name="databricks", cls=CommandsOnDemand)
@click.version_option(package_name="kedro-databricks-hybrid", message="%(package)s %(version)s")
def databricks() -> None:
    """Write locally, keep code in Git, run on Databricks."""


def _commands_of_other_plugins() -> dict[str, click.Command]:
    """Return the commands of other `databricks` groups, and each group under its plugin's name."""
    found: dict[str, click.Command] = {}
    for plugin in other_plugins.found():
        found |= {name: command for name, command in plugin.group.commands.items() if name not in _COMMANDS}
        found[plugin.name] = plugin.group
    return found


other_plugins.merge_into(databricks)
