"""`kedro databricks push`: push the current commit, or with `code.sync: files` the working tree."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import layout
from kedro_databricks_hybrid.cli.options import (
    Command,
    catalog_options,
    dry_run_option,
    env_option,
    json_option,
    log_in,
    profile_option,
    say,
    say_json,
    waiting,
    warn,
)
from kedro_databricks_hybrid.cli.output import first_names, with_count
from kedro_databricks_hybrid.cli.pull import edit_handling, rescue_options
from kedro_databricks_hybrid.databricks import git_folder, git_folder_rescue, mirror
from kedro_databricks_hybrid.databricks.git_folder import Target
from kedro_databricks_hybrid.errors import ConnectionFailedError, GitError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.project import git_source
from kedro_databricks_hybrid.project import settings as databricks_yml
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder_rescue import EditHandling
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.project.git_source import Source, Unsupported
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace

    PushData = Callable[[ProjectOnWorkspace], dict[str, Any]] | None

_WATCH_IS_FOR_FILES = "--watch needs code.sync: files in databricks.yml."
_WIP_AND_BRANCH = "--wip pushes the working tree, --branch another branch: choose one."
_PAUSE_SECONDS = 1.0
_SHOWN = 5


@click.command(cls=Command)
@profile_option
@env_option
@catalog_options
@click.option("--no-data", is_flag=True, help="Push only the code.")
@click.option(
    "--all-data", is_flag=True, help="Push the whole data folder, not only what the pipelines read."
)
@click.option("--branch", metavar="NAME", help="Local branch to push; the current one by default.")
@click.option("--wip", is_flag=True, help="Also push uncommitted edits, as a snapshot on a separate branch.")
@dry_run_option
@click.option("--watch", is_flag=True, help="Push every edit until Ctrl-C (code.sync: files).")
@rescue_options
@json_option
@click.pass_obj
def push(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
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
    """Push the current commit and changed data to Databricks.

    Pushes the branch to its Git remote, checks it out in the Git folder on Databricks (creating the folder if
    it does not exist), verifies that the folder holds this commit, and uploads the input data that changed.
    """
    if sum(map(bool, (no_data, all_data, pipelines))) > 1:
        raise click.UsageError("--no-data, --all-data and --pipelines exclude each other.")
    opened = open_project(metadata, env)
    options = {"params": params, "pipelines": pipelines, "everything": all_data, "dry_run": dry_run}
    push_data: PushData = None if no_data else partial(_push_data, options=options)
    if opened.syncs_files:
        if branch or wip or save or force or (watch and dry_run):
            raise click.UsageError("With code.sync: files, push sends the working tree as it is.")
        project = opened.on(log_in(profile))
        if push_data:
            project = layout.with_data_root(project)
        result = _push_working_tree(project, push_data, watch=watch, dry_run=dry_run)
    elif watch or (wip and branch):
        raise click.UsageError(_WATCH_IS_FOR_FILES if watch else _WIP_AND_BRANCH)
    else:
        source = git_source.source(opened.repository, opened.settings.code, branch)
        _refuse_unsupported(opened.repository, source.commit.sha)
        if not wip and opened.env != databricks_yml.LOCAL_ENV:
            opened.require_env_in(source.commit.sha)
        project = opened.on(log_in(profile))
        git_source.refuse_unreachable(source, project.workspace)
        if push_data:
            project = layout.with_data_root(project)
            project.data_root  # noqa: B018 - without one it raises, before anything is pushed
        if dry_run:
            result = _say_commit_plan(project, source, wip=wip)
        else:
            handling = edit_handling(
                "push", project.workspace, save=save, force=force, startup_files=startup_files
            )
            result = _push_commit(project, source, handling, wip=wip)
        result["data"] = push_data(project) if push_data else None
    if as_json:
        say_json({"dry_run": dry_run, **result})


def _push_commit(
    project: ProjectOnWorkspace, source: Source, handling: EditHandling, *, wip: bool
) -> dict[str, Any]:
    workspace, path = project.workspace, project.git_folder
    target = _push_to_remote(project, source, wip=wip)
    with waiting(f"Finding or cloning the Git folder {path}"):
        folder = git_source.folder_for(workspace, path, source)
    if handling.save or not target.is_met_by(folder):
        folder = git_folder_rescue.check_out(workspace, project.repository, folder, target, handling)
    commit = project.repository.commit(folder.sha or "")
    say(f"Databricks has {commit} on {target} in {folder.path}")
    if not wip:
        _remove_snapshots(project, source)
    return {"commit": folder.sha, "branch": folder.branch, "folder": str(folder.path)}


def _push_working_tree(
    project: ProjectOnWorkspace, push_data: PushData, *, watch: bool, dry_run: bool
) -> dict[str, Any]:
    sent = push_data(project) if push_data else None
    if dry_run:
        return {**_say_files_plan(project), "data": sent}
    return {**_push_files(project, watch=watch), "data": sent}


def _refuse_unsupported(repository: Repository, sha: str) -> None:
    """Refuse submodules, and warn of Git LFS: a Git folder has the contents of neither."""
    found = git_source.find_unsupported(repository, sha)
    git_source.refuse_submodules(found)
    _warn_of_pointers(found)


def _warn_of_pointers(found: Unsupported) -> None:
    if found.lfs_files:
        warn(
            f"Databricks gets the pointers of Git LFS, not the files: {first_names(found.lfs_files)}. "
            "Keep data in the data folder, which push uploads."
        )


def _push_to_remote(project: ProjectOnWorkspace, source: Source, *, wip: bool) -> Target:
    """Push the commit, or a snapshot of the working tree, to the Git remote."""
    repository, remote = project.repository, project.settings.code.remote
    edited = repository.edited_paths() if wip else []
    if edited:
        snapshot = work_in_progress.take(repository, project.workspace.user, source.branch)
        with waiting(f"Pushing {snapshot.branch} to {source.shown_pushed_to}"):
            work_in_progress.push(repository, remote, snapshot)
        count = with_count(len(edited), "uncommitted edit")
        say(f"Pushed {snapshot.branch} to {source.shown_pushed_to}, with your {count}: {first_names(edited)}")
        return Target(branch=snapshot.branch, sha=snapshot.commit.sha)
    warn_of_edits(project)
    pushed_to = source.shown_pushed_to
    with waiting(f"Pushing {source.branch} to {pushed_to}"):
        is_new = repository.push(remote, source.branch)
    say(f"Pushed {source.branch} to {pushed_to}" if is_new else f"{pushed_to} is up to date.")
    return Target(branch=source.branch, sha=source.commit.sha)


def _say_commit_plan(project: ProjectOnWorkspace, source: Source, *, wip: bool) -> dict[str, Any]:
    edited = project.repository.edited_paths() if wip else []
    branch, sha = source.branch, source.commit.sha
    if edited:
        branch = work_in_progress.branch_name(project.workspace.user, branch)
        count = with_count(len(edited), "uncommitted edit")
        say(f"Would push {branch} to {source.shown_pushed_to}, with your {count}: {first_names(edited)}")
    else:
        ref = f"refs/heads/{branch}"
        found = project.repository.at_remote(project.settings.code.remote, ref) or {}
        is_pushed = found.get(ref) == sha
        say(
            f"{source.shown_pushed_to} is up to date."
            if is_pushed
            else f"Would push {branch} to {source.shown_pushed_to}"
        )
    path = project.git_folder
    folder = git_folder.find(project.workspace, path)
    if folder is None:
        say(f"Would clone {source.shown_url} into {path} and check out {branch}")
    elif edited or not Target(branch=branch, sha=sha).is_met_by(folder):
        say(f"Would check out {branch} in {path}, which is on {folder.branch} at {(folder.sha or '-')[:7]}")
    else:
        say(f"Databricks has {source.commit} on {branch} in {path}")
    return {"commit": None if edited else sha, "branch": branch, "folder": str(path), "edits": edited}


def _remove_snapshots(project: ProjectOnWorkspace, source: Source) -> None:
    user, remote = project.workspace.user, project.settings.code.remote
    if work_in_progress.remove(project.repository, remote, user, source.branch):
        say(f"Removed {work_in_progress.branch_name(user, source.branch)} from {source.shown_pushed_to}")


def warn_of_edits(project: Project) -> None:
    """Warn of uncommitted edits, since Databricks gets commits."""
    if edited := project.repository.edited_paths():
        count = with_count(len(edited), "uncommitted edit")
        warn(
            f"Databricks gets commits, so not your {count}: {first_names(edited)}. "
            "Commit, or push with --wip."
        )


def _push_data(project: ProjectOnWorkspace, options: dict[str, Any]) -> dict[str, Any]:
    from kedro_databricks_hybrid.cli import data_push

    return data_push.push_data(project, data_push.PushOptions(**options))


def _push_files(project: ProjectOnWorkspace, *, watch: bool) -> dict[str, Any]:
    """Mirror the working tree to its folder on Databricks; with `watch`, repeat until Ctrl-C."""
    last = _sync(project, None)
    result = {"commit": last, "folder": str(project.mirror_folder)}
    if not watch:
        return result
    say("Watching for edits; Ctrl-C stops.")
    warned = ""
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            try:
                last = _sync(project, last)
                warned = ""
            except (GitError, ConnectionFailedError) as error:  # during a rebase, or without a network
                if error.message != warned:
                    warn(f"{error.message} Trying again.")
                warned = error.message
    except KeyboardInterrupt:
        say("Stopped watching.")
    return {**result, "commit": last}


def _say_files_plan(project: ProjectOnWorkspace) -> dict[str, Any]:
    """Print what a push of the working tree would send and delete."""
    path = project.mirror_folder
    snapshot = work_in_progress.take(project.repository, project.workspace.user, _branch(project))
    would = mirror.compare(project.workspace, path, project.repository, snapshot)
    for what, names in (("send", would.changed), ("delete", would.gone)):
        for name in names[:_SHOWN]:
            say(f"Would {what} {shown(name)}")
        if len(names) > _SHOWN:
            say(f"Would {what} {with_count(len(names) - _SHOWN, 'file')} more")
    say(
        f"Would send {with_count(len(would.changed), 'file')} to {path} and delete {len(would.gone)}; "
        f"{would.unchanged} unchanged."
    )
    return {"folder": str(path), "send": would.changed, "delete": would.gone, "unchanged": would.unchanged}


def _sync(project: ProjectOnWorkspace, last: str | None) -> str:
    """Mirror the working tree if it differs from the snapshot `last`; return its snapshot."""
    repository, path = project.repository, project.mirror_folder
    snapshot = work_in_progress.take(repository, project.workspace.user, _branch(project))
    if snapshot.commit.sha == last:
        return last
    if last is None:
        _warn_of_pointers(git_source.find_unsupported(repository, snapshot.commit.sha))
    done = mirror.sync(project.workspace, path, repository, snapshot)
    if done.changed or done.gone or last is None:
        say(
            f"Databricks has {snapshot.commit} in {path}: {with_count(len(done.changed), 'file')} sent, "
            f"{len(done.gone)} deleted, {done.unchanged} unchanged"
        )
    return snapshot.commit.sha


def _branch(project: Project) -> str:
    """Return the name of the branch, or HEAD if there is none, as during a rebase."""
    branch = project.repository.run("branch", "--show-current").stdout.decode("utf-8", "replace").strip()
    return branch or "HEAD"
