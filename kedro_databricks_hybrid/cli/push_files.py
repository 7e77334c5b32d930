"""Pushing the working tree as it is, once or as long as you edit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kedro_databricks_hybrid import files_folder, snapshot
from kedro_databricks_hybrid.cli.command import say, warn
from kedro_databricks_hybrid.cli.sizes import with_count
from kedro_databricks_hybrid.errors import ConnectionFailedError, GitError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.workspace import Workspace

_PAUSE_SECONDS = 1.0


def push_files(project: Project, workspace: Workspace, *, watch: bool) -> None:
    """Mirror the working tree to its folder on Databricks; with `watch`, until Ctrl-C."""
    last = _sync(project, workspace, None)
    if not watch:
        return
    say("Watching for edits; Ctrl-C ends it.")
    told = ""
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            try:
                last = _sync(project, workspace, last)
                told = ""
            except (GitError, ConnectionFailedError) as error:  # a rebase goes on, or the network is away
                if error.message != told:
                    warn(f"{error.message} Trying again.")
                told = error.message
    except KeyboardInterrupt:
        say("Stopped watching.")


def _sync(project: Project, workspace: Workspace, last: str | None) -> str:
    """Mirror the working tree unless it is still the one of `last`, and return its snapshot."""
    repository = project.repository
    taken = snapshot.take(repository, workspace.user, _branch(project))
    if taken.commit.sha == last:
        return last
    path = project.files_folder(workspace)
    done = files_folder.sync(workspace, path, repository, taken)
    if done.sent or done.deleted or last is None:
        say(
            f"Databricks has {taken.commit} in {path}: {with_count(len(done.sent), 'file')} sent, "
            f"{len(done.deleted)} deleted, {done.unchanged} unchanged"
        )
    return taken.commit.sha


def _branch(project: Project) -> str:
    """Return the branch's name; during a rebase there is none."""
    named = project.repository.run("branch", "--show-current").stdout.decode("utf-8", "replace").strip()
    return named or "HEAD"
