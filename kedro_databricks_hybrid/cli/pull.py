"""`kedro databricks pull`, and the options of pull and push for edits made in the Git folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedro_databricks_hybrid.cli.options import (
    Command,
    dry_run_option,
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
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace

    Function = TypeVar("Function", bound=Callable[..., Any])

_ANSWER = "discard"


def rescue_options(function: Function) -> Function:
    """Add --save, --force and --startup-files."""
    save = click.option(
        "--save", is_flag=True, help="Save edits made in the Git folder on a new local branch."
    )
    force = click.option(
        "--force",
        is_flag=True,
        help="Discard edits made in the Git folder, after saving them as --save does.",
    )
    return save(force(startup_files_option(function)))


def edit_handling(
    verb: str, workspace: Workspace, *, save: bool, force: bool, startup_files: bool | None
) -> EditHandling:
    """Return what a command does with edits made in the Git folder."""

    def may_discard() -> bool:
        if force or not sys.stdin.isatty():
            return force
        question = f"Type {_ANSWER!r} to discard these edits on Databricks, or press Enter to keep them"
        return bool(click.prompt(question, default="", show_default=False, err=True) == _ANSWER)

    again = f"kedro databricks {verb}{workspace.flags}"
    return EditHandling(save or force, may_discard, say, again, consent(startup_files))


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--branch", metavar="NAME", help="Branch to check out; the current local branch by default.")
@click.option("--tag", metavar="NAME", help="Tag to check out; the Git folder is on no branch then.")
@dry_run_option
@rescue_options
@click.option("--data", "with_data", is_flag=True, help="Also download the output of the last run.")
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
    """Check out a branch or tag of the Git remote in the Git folder on Databricks."""
    if branch and tag:
        raise click.UsageError("--branch and --tag exclude each other.")
    opened = open_project(metadata, env)
    repository = opened.repository
    branch = None if tag else branch or repository.branch()
    project = opened.on(connect(profile, warn))
    folder = git_folder.get(project.workspace, project.git_folder)
    target = Target(branch, tag, git_source.at_remote(repository, project.settings.code, branch, tag))
    if dry_run:
        say(
            f"Would check out {target} in {folder.path}, which is on {folder.branch or 'no branch'} "
            f"at {(folder.sha or '-')[:7]}"
        )
        held = folder
    else:
        handling = edit_handling(
            "pull", project.workspace, save=save, force=force, startup_files=startup_files
        )
        held = git_folder_rescue.check_out(project.workspace, repository, folder, target, handling)
        _say_commit(repository, held, target)
    options = {"dry_run": dry_run, "startup_files": startup_files}
    data = _pull_data(project, options) if with_data else None
    if as_json:
        code = {"commit": held.sha, "branch": held.branch, "tag": tag, "folder": str(held.path)}
        say_json({"dry_run": dry_run, **code, "data": data})


def _say_commit(repository: Repository, pulled: GitFolder, target: Target) -> None:
    commit = repository.commit(pulled.sha or "") or (pulled.sha[:7] if pulled.sha else "no commit")
    say(f"Databricks has {commit} on {target} in {pulled.path}")
    head = repository.commit(f"refs/heads/{target.branch}") if target.branch else None
    if head and head.sha != pulled.sha:
        warn(f"Your local {target.branch} is at {head}: `kedro databricks push` brings it to Databricks.")


def _pull_data(project: ProjectOnWorkspace, options: dict[str, Any]) -> dict[str, Any]:
    from kedro_databricks_hybrid.cli import data_pull

    return data_pull.pull_data(project, data_pull.PullOptions(**options))
