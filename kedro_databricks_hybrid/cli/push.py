"""`kedro databricks push`: the current commit, or with `code.sync: files` the working tree."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import layout
from kedro_databricks_hybrid.cli.options import (
    Command,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.cli.output import waiting, with_count
from kedro_databricks_hybrid.cli.pull import rescue_options, way
from kedro_databricks_hybrid.databricks import git_folder, git_folder_rescue, mirror
from kedro_databricks_hybrid.databricks.git_folder import Target
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import ConnectionFailedError, GitError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.project import git_source
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder_rescue import Way
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import Project

    Data = Callable[[Project, Workspace], dict[str, Any]] | None

_WATCH_IS_FOR_FILES = "--watch is for code.sync: files in conf/base/databricks.yml."
_WIP_HAS_NO_BRANCH = "--wip takes the working tree, --branch another branch: choose one."
_PAUSE_SECONDS = 1.0
_SHOWN = 5


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--no-data", is_flag=True, help="Push the code alone.")
@click.option(
    "--all-data", is_flag=True, help="Push the whole data folder, not only what the pipelines read."
)
@click.option("--branch", metavar="NAME", help="Local branch to push; the one checked out if not given.")
@click.option("--wip", is_flag=True, help="Push uncommitted edits too, as a snapshot on a branch of its own.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--watch", is_flag=True, help="Keep the files there in step until Ctrl-C (code.sync: files).")
@rescue_options
@json_option
@click.pass_obj
def push(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    no_data: bool,
    all_data: bool,
    branch: str | None,
    wip: bool,
    dry_run: bool,
    watch: bool,
    save: bool,
    force: bool,
    startup_files: bool | None,
    as_json: bool,
) -> None:
    """Bring the current commit and the data that changed to Databricks.

    Pushes the branch to its Git remote, checks it out in the Git folder on Databricks (which is created if
    need be), proves that the folder holds the very commit, and uploads the input data that changed.
    """
    if no_data and all_data:
        raise click.UsageError("--no-data and --all-data exclude each other.")
    project = open_project(metadata, env)
    data: Data = None if no_data else partial(_push_data, everything=all_data, dry_run=dry_run)
    if project.syncs_files:
        if branch or wip or save or force or (watch and dry_run):
            raise click.UsageError("With code.sync: files, push takes the working tree as it is.")
        workspace = connect(profile)
        if data:
            project = layout.with_root(project, workspace)
        told = _push_working_tree(project, workspace, data, watch=watch, dry_run=dry_run)
    elif watch or (wip and branch):
        raise click.UsageError(_WATCH_IS_FOR_FILES if watch else _WIP_HAS_NO_BRANCH)
    else:
        source = git_source.source(project.repository, project.settings.code, branch)
        _look_through(project.repository, source.commit.sha)
        workspace = connect(profile)
        git_source.refuse_unreachable(source, workspace)
        if data:
            project = layout.with_root(project, workspace)
            project.data_root(workspace)  # where there is none, nothing is pushed
        if dry_run:
            told = _say_what_would_be_done(project, workspace, source, wip=wip)
        else:
            chosen = way("push", workspace, save=save, force=force, startup_files=startup_files)
            told = _push_commit(project, workspace, source, chosen, wip=wip)
        told["data"] = data(project, workspace) if data else None
    if as_json:
        say_json({"dry_run": dry_run, **told})


def _push_commit(
    project: Project, workspace: Workspace, source: Source, chosen: Way, *, wip: bool
) -> dict[str, Any]:
    target = _to_remote(project, workspace, source, wip=wip)
    path = project.git_folder(workspace)
    with waiting(f"Looking at {path}, and cloning it if need be"):
        folder = git_source.folder_for(workspace, path, source)
    if chosen.save or not target.is_met_by(folder):
        folder = git_folder_rescue.check_out(workspace, project.repository, folder, target, chosen)
    commit = project.repository.commit(folder.sha or "")
    say(f"Databricks has {commit} on {target} in {folder.path}")
    if not wip:
        _remove_snapshots(project, workspace, source)
    return {"commit": folder.sha, "branch": folder.branch, "folder": str(folder.path)}


def _push_working_tree(
    project: Project, workspace: Workspace, data: Data, *, watch: bool, dry_run: bool
) -> dict[str, Any]:
    sent = data(project, workspace) if data else None
    if dry_run:
        return {**say_what_would_be_sent(project, workspace), "data": sent}
    return {**push_files(project, workspace, watch=watch), "data": sent}


def _look_through(repository: Repository, sha: str) -> None:
    """Refuse or mention what a Git folder does not bring."""
    found = git_source.find_unsupported(repository, sha)
    git_source.refuse_submodules(found)
    if found.lfs_files:
        warn(
            f"Git folders bring the pointers of Git LFS, not the files: {_names(found.lfs_files)}. "
            "Keep data in the data folder, which push uploads."
        )


def _to_remote(project: Project, workspace: Workspace, source: Source, *, wip: bool) -> Target:
    """Bring the commit, or a snapshot of the working tree, to the Git remote."""
    repository, remote = project.repository, project.settings.code.remote
    edited = repository.edited_paths() if wip else []
    if edited:
        taken = work_in_progress.take(repository, workspace.user, source.branch)
        with waiting(f"Pushing {taken.branch} to {source.shown_url}"):
            work_in_progress.push(repository, remote, taken)
        count = with_count(len(edited), "uncommitted edit")
        say(f"Pushed {taken.branch} to {source.shown_url}, with your {count}: {_names(edited)}")
        return Target(branch=taken.branch, sha=taken.commit.sha)
    warn_of_edits(project)
    with waiting(f"Pushing {source.branch} to {source.shown_url}"):
        is_news = repository.push(remote, source.branch)
    say(f"Pushed {source.branch} to {source.shown_url}" if is_news else f"{source.shown_url} is up to date.")
    return Target(branch=source.branch, sha=source.commit.sha)


def _say_what_would_be_done(
    project: Project, workspace: Workspace, source: Source, *, wip: bool
) -> dict[str, Any]:
    edited = project.repository.edited_paths() if wip else []
    branch, sha = source.branch, source.commit.sha
    if edited:
        branch = work_in_progress.branch_name(workspace.user, branch)
        count = with_count(len(edited), "uncommitted edit")
        say(f"Would push {branch} to {source.shown_url}, with your {count}: {_names(edited)}")
    else:
        ref = f"refs/heads/{branch}"
        there = project.repository.at_remote(project.settings.code.remote, ref) or {}
        is_there = there.get(ref) == sha
        pushed = (
            f"{source.shown_url} is up to date." if is_there else f"Would push {branch} to {source.shown_url}"
        )
        say(pushed)
    path = project.git_folder(workspace)
    folder = git_folder.find(workspace, path)
    if folder is None:
        say(f"Would clone {source.shown_url} into {path} and check out {branch}")
    elif edited or not Target(branch=branch, sha=sha).is_met_by(folder):
        say(f"Would check out {branch} in {path}, which is on {folder.branch} at {(folder.sha or '-')[:7]}")
    else:
        say(f"Databricks has {source.commit} on {branch} in {path}")
    return {"commit": None if edited else sha, "branch": branch, "folder": str(path), "edits": edited}


def _remove_snapshots(project: Project, workspace: Workspace, source: Source) -> None:
    if work_in_progress.remove(
        project.repository, project.settings.code.remote, workspace.user, source.branch
    ):
        say(f"Removed {work_in_progress.branch_name(workspace.user, source.branch)} from {source.shown_url}")


def _names(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")


def warn_of_edits(project: Project) -> None:
    """Say which files differ from the commit, since Databricks gets the commit."""
    if edited := project.repository.edited_paths():
        count = with_count(len(edited), "uncommitted edit")
        warn(f"Databricks gets commits, so not your {count}: {_names(edited)}. Commit, or push with --wip.")


def _push_data(project: Project, workspace: Workspace, *, everything: bool, dry_run: bool) -> dict[str, Any]:
    from kedro_databricks_hybrid.cli import data_push

    options = data_push.PushOptions(everything=everything, dry_run=dry_run)
    return data_push.push_data(project, workspace, options)


def push_files(project: Project, workspace: Workspace, *, watch: bool) -> dict[str, Any]:
    """Mirror the working tree to its folder on Databricks; with `watch`, until Ctrl-C."""
    last = _sync(project, workspace, None)
    told = {"commit": last, "folder": str(project.files_folder(workspace))}
    if not watch:
        return told
    say("Watching for edits; Ctrl-C ends it.")
    complained = ""
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            try:
                last = _sync(project, workspace, last)
                complained = ""
            except (GitError, ConnectionFailedError) as error:  # a rebase goes on, or the network is away
                if error.message != complained:
                    warn(f"{error.message} Trying again.")
                complained = error.message
    except KeyboardInterrupt:
        say("Stopped watching.")
    return {**told, "commit": last}


def say_what_would_be_sent(project: Project, workspace: Workspace) -> dict[str, Any]:
    """Say what a push of the working tree would send and delete."""
    taken = work_in_progress.take(project.repository, workspace.user, _branch(project))
    path = project.files_folder(workspace)
    would = mirror.compare(workspace, path, project.repository, taken)
    for what, names in (("send", would.changed), ("delete", would.gone)):
        for name in names[:_SHOWN]:
            say(f"Would {what} {name}")
        if len(names) > _SHOWN:
            say(f"Would {what} {with_count(len(names) - _SHOWN, 'file')} more")
    say(
        f"Would send {with_count(len(would.changed), 'file')} to {path} and delete {len(would.gone)} there; "
        f"{would.unchanged} unchanged."
    )
    return {"folder": str(path), "send": would.changed, "delete": would.gone, "unchanged": would.unchanged}


def _sync(project: Project, workspace: Workspace, last: str | None) -> str:
    """Mirror the working tree unless it is still the one of `last`, and return its snapshot."""
    repository = project.repository
    taken = work_in_progress.take(repository, workspace.user, _branch(project))
    if taken.commit.sha == last:
        return last
    path = project.files_folder(workspace)
    done = mirror.sync(workspace, path, repository, taken)
    if done.changed or done.gone or last is None:
        say(
            f"Databricks has {taken.commit} in {path}: {with_count(len(done.changed), 'file')} sent, "
            f"{len(done.gone)} deleted, {done.unchanged} unchanged"
        )
    return taken.commit.sha


def _branch(project: Project) -> str:
    """Return the branch's name; during a rebase there is none."""
    named = project.repository.run("branch", "--show-current").stdout.decode("utf-8", "replace").strip()
    return named or "HEAD"
