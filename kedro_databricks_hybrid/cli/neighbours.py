"""Other plugins with a `databricks` group: Kedro would hide all groups of one name but the first."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "databricks"
_OURS = "kedro_databricks_hybrid"


@dataclass(frozen=True)
class Neighbour:
    """A plugin that has a `databricks` group of its own.

    Args:
        name: Its distribution.
        group: Its `databricks` group.
    """

    name: str
    group: click.Group

    def explained(self) -> str:
        """Say how to reach its commands."""
        return (
            f"{self.name} has a `kedro databricks` group, too: commands that both have are "
            f"kedro-databricks-hybrid's, and all of its own are `kedro databricks {self.name} <command>`"
        )


_found: list[Neighbour] = []


def found() -> list[Neighbour]:
    """Return the plugins that bring a `databricks` group."""
    return list(_found)


def answer_for_them(ours: click.Group) -> None:
    """Have our group answer for those of other plugins, which it has the commands of.

    Kedro asks one plugin after the other for a group; whose turn is first does not matter then.
    """
    for entry_point in entry_points(group="kedro.project_commands"):
        outer = _loaded(entry_point)
        inner = outer.commands.get(GROUP) if outer else None
        if outer and isinstance(inner, click.Group) and inner is not ours:
            name = entry_point.dist.name if entry_point.dist else entry_point.name
            _found.append(Neighbour(name, inner))
            outer.commands[GROUP] = ours


def _loaded(entry_point: EntryPoint) -> click.Group | None:
    """Return another plugin's commands; Kedro itself warns of plugins that cannot be loaded."""
    if entry_point.module.partition(".")[0] == _OURS:
        return None
    try:
        group = entry_point.load()
    except Exception:  # noqa: BLE001 - a plugin may raise anything while it is imported
        return None
    return group if isinstance(group, click.Group) else None
