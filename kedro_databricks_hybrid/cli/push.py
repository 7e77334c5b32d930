"""`kedro databricks push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import code
from kedro_databricks_hybrid.cli.command import Command, env_option, profile_option, say, warn
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.cli.sizes import with_count
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.workspace import Workspace


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--no-data", is_flag=True, help="Push the code alone.")
@click.option(
    "--all-data", is_flag=True, help="Push the whole data folder, not only what the pipelines read."
)
@click.pass_obj
def push(
    metadata: ProjectMetadata, profile: str | None, env: str | None, no_data: bool, all_data: bool
) -> None:
    """Bring the current commit and the data that changed to Databricks.

    Pushes the branch to its Git remote, checks it out in the Git folder on Databricks (which is created if
    need be), proves that the folder holds the very commit, and uploads the input data that changed.
    """
    if no_data and all_data:
        raise click.UsageError("--no-data and --all-data exclude each other.")
    project = open_project(metadata, env)
    source = code.source(project.repository, project.settings.code)
    workspace = connect(profile)
    code.refuse_unreachable(source, workspace)
    warn_of_edits(project)
    project.repository.push(project.settings.code.remote, source.branch)
    say(f"Pushed {source.branch} to {source.shown_url}")
    folder = code.update(workspace, project.git_folder(workspace), source, create=True)
    say(f"Databricks has {source.commit} on {source.branch} in {folder.path}")
    if not no_data:
        _push_data(project, workspace, everything=all_data)


def warn_of_edits(project: Project) -> None:
    """Say which files differ from the commit, since Databricks gets the commit."""
    if edited := project.repository.edited_paths():
        names = ", ".join(edited[:5]) + (", ..." if len(edited) > 5 else "")
        warn(f"Databricks gets commits, so not your {with_count(len(edited), 'uncommitted edit')}: {names}.")


def _push_data(project: Project, workspace: Workspace, *, everything: bool) -> None:
    from kedro_databricks_hybrid.cli import data

    data.push_to(project, workspace, data.PushOptions(everything=everything))
