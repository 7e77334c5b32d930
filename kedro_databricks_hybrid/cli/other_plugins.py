"""Other plugins with a `databricks` group: of several groups with one name, Kedro shows only the first."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "databricks"
_PACKAGE = "kedro_databricks_hybrid"


@dataclass(frozen=True)
class OtherPlugin:
    """Another plugin that has a `databricks` group.

    Args:
        name: The name of its distribution.
        group: Its `databricks` group.
    """

    name: str
    group: click.Group

    def explained(self) -> str:
        """Return a sentence on how to call its commands."""
        return (
            f"{self.name} also has a `kedro databricks` group: a command that both plugins have is "
            f"kedro-databricks-hybrid's; `kedro databricks {self.name} <command>` calls the other one"
        )


_found: list[OtherPlugin] = []


def found() -> list[OtherPlugin]:
    """Return the other plugins that have a `databricks` group."""
    return list(_found)


def merge_into(group: click.Group) -> None:
    """Replace the `databricks` groups of other plugins by this plugin's group, which has their commands too.

    Kedro takes a group from the first plugin that has it; the order of the plugins no longer matters then.
    """
    both = (*entry_points(group="kedro.global_commands"), *entry_points(group="kedro.project_commands"))
    for entry_point in both:
        outer = _loaded(entry_point)
        inner = outer.commands.get(GROUP) if outer else None
        if outer and isinstance(inner, click.Group) and inner is not group:
            name = entry_point.dist.name if entry_point.dist else entry_point.name
            _found.append(OtherPlugin(name, inner))
            outer.commands[GROUP] = group


def _loaded(entry_point: EntryPoint) -> click.Group | None:
    """Return another plugin's commands; Kedro itself warns about plugins that cannot be loaded."""
    if entry_point.module.partition(".")[0] == _PACKAGE:
        return None
    try:
        group = entry_point.load()
    except Exception:  # noqa: BLE001 - a plugin may raise anything while it is imported
        return None
    return group if isinstance(group, click.Group) else None
