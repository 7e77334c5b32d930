"""`kedro databricks pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import code, git_folder, rescue
from kedro_databricks_hybrid.cli.command import Command, env_option, profile_option, say, warn
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.cli.rescuing import rescue_options, way
from kedro_databricks_hybrid.git_folder import Target
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.workspace import Workspace


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--branch", metavar="NAME", help="Branch to check out there; the local one if not given.")
@click.option("--tag", metavar="NAME", help="Tag to check out there, which leaves the folder on no branch.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@rescue_options
@click.option("--data", "with_data", is_flag=True, help="Bring what the last run wrote, too.")
@click.pass_obj
def pull(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    branch: str | None,
    tag: str | None,
    with_data: bool,
    dry_run: bool,
    save: bool,
    force: bool,
) -> None:
    """Pull a branch or tag from the Git remote into the Git folder on Databricks, and check it out there."""
    if branch and tag:
        raise click.UsageError("--branch and --tag exclude each other.")
    project = open_project(metadata, env)
    repository = project.repository
    wanted = None if tag else branch or repository.branch()
    workspace = connect(profile)
    folder = git_folder.get(workspace, project.git_folder(workspace))
    target = Target(wanted, tag, code.at_remote(repository, project.settings.code, wanted, tag))
    if dry_run:
        say(
            f"Would check out {target} in {folder.path}, which is on {folder.branch or 'no branch'} "
            f"at {(folder.sha or '-')[:7]}"
        )
        _pull_data(project, workspace, with_data=with_data, dry_run=True)
        return
    chosen = way("pull", workspace, save=save, force=force)
    pulled = rescue.check_out(workspace, repository, folder, target, chosen)
    commit = repository.commit(pulled.sha or "") or (pulled.sha[:7] if pulled.sha else "no commit")
    say(f"Databricks has {commit} on {target} in {pulled.path}")
    head = repository.commit(f"refs/heads/{wanted}") if wanted else None
    if head and head.sha != pulled.sha:
        warn(f"Your local {wanted} is at {head}: push it to bring it there.")
    _pull_data(project, workspace, with_data=with_data, dry_run=False)


def _pull_data(project: Project, workspace: Workspace, *, with_data: bool, dry_run: bool) -> None:
    if with_data:
        from kedro_databricks_hybrid.cli import data_pull

        data_pull.pull_data(project, workspace, data_pull.PullOptions(dry_run=dry_run))
