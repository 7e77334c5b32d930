"""Pushing the working tree as it is, once or as long as you edit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid import files_folder, snapshot
from kedro_databricks_hybrid.cli.command import say, warn
from kedro_databricks_hybrid.cli.sizes import with_count
from kedro_databricks_hybrid.errors import ConnectionFailedError, GitError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.workspace import Workspace

_PAUSE_SECONDS = 1.0
_SHOWN = 5


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
    taken = snapshot.take(project.repository, workspace.user, _branch(project))
    path = project.files_folder(workspace)
    would = files_folder.compare(workspace, path, project.repository, taken)
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
    taken = snapshot.take(repository, workspace.user, _branch(project))
    if taken.commit.sha == last:
        return last
    path = project.files_folder(workspace)
    done = files_folder.sync(workspace, path, repository, taken)
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
