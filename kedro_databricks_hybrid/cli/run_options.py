"""The options of `kedro databricks run`: its own, and those of the project's `kedro run`."""

from __future__ import annotations

from copy import copy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import env_option

from kedro_databricks_hybrid.cli.options import ENV_HELP, Command, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kedro.framework.startup import ProjectMetadata


_READ_HERE = {"config", "conf_source"}  # the first is read here, the second is a path on the cluster

_PARAMS = f"{__name__}.params"


class RunCommand(Command):
    """A command with the options of the project's own `kedro run`, if its cli.py has one, else of Kedro's."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options, followed by those of the project's command.

        They are the same objects in each call, as click finds the order in which they were typed by them.
        """
        if _PARAMS not in ctx.meta:
            own = [*self.params, *filter(None, [self.get_help_option(ctx)])]
            others = _without(project_run(ctx.obj).params, own)
            if not any(each.name == "env" for each in others):
                others += _without(env_option(lambda: None).__click_params__, own)
            ctx.meta[_PARAMS] = [*self.params, *map(_for_databricks, others), *own[len(self.params) :]]
        params: list[click.Parameter] = ctx.meta[_PARAMS]
        return params


def project_run(metadata: ProjectMetadata | None) -> click.Command:
    """Return what `kedro run` runs: a command `run` of the project's cli.py, or Kedro's own."""
    if metadata is not None:
        try:
            group = getattr(import_module(f"{metadata.package_name}.cli"), "cli", None)
        except ModuleNotFoundError:  # as Kedro, which then uses its own commands
            return kedro_run
        found = group.commands.get("run") if isinstance(group, click.Group) else None
        if found is not None:
            return found
    return kedro_run


def options_of_run(command: click.Command, options: dict[str, Any], project_path: Path) -> dict[str, Any]:
    """Return the options that are sent to Databricks, with files as paths relative to the project.

    Warns of options that cannot have their meaning there.

    Args:
        command: The project's command.
        options: The values of its options by name.
        project_path: The project's folder here.
    """
    sent = {}
    for each in command.params:
        spelling = each.opts[-1]
        if each.name is None or not each.expose_value:
            continue
        if each.name not in options:
            warn(
                f"{spelling} of the project's run has its default, as `kedro databricks run` has another one."
            )
            continue
        value = options[each.name]
        if isinstance(each.type, click.Path) and value is not None and each.name not in _READ_HERE:
            path = Path(str(value)).resolve()
            if path.is_relative_to(project_path.resolve()):
                value = path.relative_to(project_path.resolve()).as_posix()
            else:
                warn(f"{spelling} is {value}, a file of this machine, which does not reach Databricks.")
        sent[each.name] = value
    return sent


def _without(params: Sequence[click.Parameter], taken: Sequence[click.Parameter]) -> list[click.Parameter]:
    """Return options whose names and spellings are not taken."""
    names = {each.name for each in taken} | {spelling for each in taken for spelling in each.opts}
    return [each for each in params if each.name not in names and names.isdisjoint(each.opts)]


def _for_databricks(option: click.Parameter) -> click.Parameter:
    """Copy one of Kedro's options; --conf-source is a path on the cluster, and --env has another default."""
    copied = copy(option)
    if copied.name == "conf_source":
        copied.callback = None
    if copied.name == "env":
        copied.envvar = "KEDRO_ENV"
        if isinstance(copied, click.Option):
            copied.help = ENV_HELP
    return copied
