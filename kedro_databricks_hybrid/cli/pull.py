"""`kedro databricks pull`, and the options with which pull and push treat edits in the Git folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.cli.options import (
    Command,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.cli.startup_files import consent, startup_files_option
from kedro_databricks_hybrid.databricks import git_folder, git_folder_rescue
from kedro_databricks_hybrid.databricks.git_folder import Target
from kedro_databricks_hybrid.databricks.git_folder_rescue import EditHandling
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.project import git_source
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.project.project import Project

    Function = TypeVar("Function", bound=Callable[..., Any])

_ANSWER = "discard"


def rescue_options(function: Function) -> Function:
    """Add --save, --force and --startup-files."""
    save = click.option(
        "--save", is_flag=True, help="Bring edits made in the Git folder here, as a branch of their own."
    )
    force = click.option(
        "--force",
        is_flag=True,
        help="Give edits made in the Git folder up, after saving them as --save does.",
    )
    return save(force(startup_files_option(function)))


def way(
    verb: str, workspace: Workspace, *, save: bool, force: bool, startup_files: bool | None
) -> EditHandling:
    """Return how a command deals with edits in the Git folder."""

    def may_discard() -> bool:
        if force or not sys.stdin.isatty():
            return force
        question = (
            f"Type {_ANSWER!r} to give these edits up on Databricks, or press Enter to leave them there"
        )
        return bool(click.prompt(question, default="", show_default=False) == _ANSWER)

    again = f"kedro databricks {verb}{workspace.flags}"
    return EditHandling(save or force, may_discard, say, again, consent(startup_files))


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--branch", metavar="NAME", help="Branch to check out there; the local one if not given.")
@click.option("--tag", metavar="NAME", help="Tag to check out there, which leaves the folder on no branch.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@rescue_options
@click.option("--data", "with_data", is_flag=True, help="Bring what the last run wrote, too.")
@json_option
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
    startup_files: bool | None,
    as_json: bool,
) -> None:
    """Pull a branch or tag from the Git remote into the Git folder on Databricks, and check it out there."""
    if branch and tag:
        raise click.UsageError("--branch and --tag exclude each other.")
    project = open_project(metadata, env)
    repository = project.repository
    wanted = None if tag else branch or repository.branch()
    workspace = connect(profile)
    folder = git_folder.get(workspace, project.git_folder(workspace))
    target = Target(wanted, tag, git_source.at_remote(repository, project.settings.code, wanted, tag))
    if dry_run:
        say(
            f"Would check out {target} in {folder.path}, which is on {folder.branch or 'no branch'} "
            f"at {(folder.sha or '-')[:7]}"
        )
        held = folder
    else:
        chosen = way("pull", workspace, save=save, force=force, startup_files=startup_files)
        held = git_folder_rescue.check_out(workspace, repository, folder, target, chosen)
        _say_what_is_there(repository, held, target)
    options = {"dry_run": dry_run, "startup_files": startup_files}
    data = _pull_data(project, workspace, options) if with_data else None
    if as_json:
        is_there = {"commit": held.sha, "branch": held.branch, "tag": tag, "folder": str(held.path)}
        say_json({"dry_run": dry_run, **is_there, "data": data})


def _say_what_is_there(repository: Repository, pulled: GitFolder, target: Target) -> None:
    commit = repository.commit(pulled.sha or "") or (pulled.sha[:7] if pulled.sha else "no commit")
    say(f"Databricks has {commit} on {target} in {pulled.path}")
    head = repository.commit(f"refs/heads/{target.branch}") if target.branch else None
    if head and head.sha != pulled.sha:
        warn(f"Your local {target.branch} is at {head}: push it to bring it there.")


def _pull_data(project: Project, workspace: Workspace, options: dict[str, Any]) -> dict[str, Any]:
    from kedro_databricks_hybrid.cli import data_pull

    return data_pull.pull_data(project, workspace, data_pull.PullOptions(**options))
