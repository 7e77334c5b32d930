"""`kedro databricks status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import status as facts
from kedro_databricks_hybrid.cli.command import Command, env_option, profile_option, say, say_json
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.status import Section


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def status(metadata: ProjectMetadata, profile: str | None, env: str | None, as_json: bool) -> None:
    """Show side by side where code and data stand here and on Databricks; nothing is changed."""
    project = open_project(metadata, env)
    here = facts.here(project)
    if not as_json:
        _show(here)
    sections = facts.there(project, connect(profile))
    if as_json:
        say_json({each.name: each.facts for each in (here, *sections)})
        return
    for section in sections:
        _show(section)


def _show(section: Section) -> None:
    for name, line in zip((section.name, *[""] * len(section.lines)), section.lines, strict=False):
        say(f"{name:<11} {line}")
