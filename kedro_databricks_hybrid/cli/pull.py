"""`kedro databricks pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import git_folder
from kedro_databricks_hybrid.cli.command import Command, env_option, profile_option, say, warn
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--branch", metavar="NAME", help="Branch to check out there; the local one if not given.")
@click.pass_obj
def pull(metadata: ProjectMetadata, profile: str | None, env: str | None, branch: str | None) -> None:
    """Pull a branch from the Git remote into the Git folder on Databricks, and check it out there."""
    project = open_project(metadata, env)
    wanted = branch or project.repository.branch()
    workspace = connect(profile)
    folder = git_folder.get(workspace, project.git_folder(workspace))
    pulled = git_folder.check_out(workspace, folder, branch=wanted)
    commit = project.repository.commit(pulled.sha or "")
    say(f"Databricks has {commit or (pulled.sha or 'no commit')[:7]} on {wanted} in {pulled.path}")
    head = project.repository.commit(wanted)
    if head and head.sha != pulled.sha:
        warn(f"Your local {wanted} is at {head}: push it to bring it there.")
