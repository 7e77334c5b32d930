"""`kedro databricks runs`, `logs`, `attach` and `cancel`: the runs that there were and are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.follow import follow, report, shower
from kedro_databricks_hybrid.cli.options import Command, env_option, profile_option, say, say_json
from kedro_databricks_hybrid.cli.output import table_lines
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import history
from kedro_databricks_hybrid.run.log import LocalPaths, Outcome
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.run.history import PastRun
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_COLUMNS = ("run", "outcome", "seconds", "commit", "branch", "user")


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--count", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def runs(metadata: ProjectMetadata, profile: str | None, env: str | None, count: int, as_json: bool) -> None:
    """List the last runs, the newest first: commit, user, duration, outcome."""
    _, _, tree = _open(metadata, profile, env)
    rows = [_row(run) for run in history.latest(tree, count)]
    if as_json:
        say_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        return
    if not rows:
        say(f"No run has left a log in {tree.root}.")
        return
    for line in table_lines(_COLUMNS, rows):
        say(line)


@click.command(cls=Command)
@profile_option
@env_option
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def logs(metadata: ProjectMetadata, profile: str | None, env: str | None, run_id: str | None) -> None:
    """Print the log of a run, your last one by default; the cluster may be long gone."""
    project, workspace, tree = _open(metadata, profile, env)
    found = history.find(tree, run_id, workspace.user)
    reader = found.started(workspace, tree).reader
    paths = _paths(project, workspace)
    show = shower(paths)
    outcome = Outcome()
    while (records := reader.records()) is not None:
        for record in records:
            outcome.take(record)
            show(record)
    if found.end and not outcome.ended:
        outcome.take({"event": "end", **found.end})
    if not outcome.ended:
        say(f"(The log of {found.run_id} has no end yet.)")
        return
    report(outcome, paths, found.info)


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--all", "from_start", is_flag=True, help="Show the log from its beginning.")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def attach(
    metadata: ProjectMetadata, profile: str | None, env: str | None, from_start: bool, run_id: str | None
) -> None:
    """Follow a run that goes on, your last one by default; its exit status becomes this command's.

    Goes on where the screen stopped if this machine has followed the run before.
    """
    project, workspace, tree = _open(metadata, profile, env)
    found = history.find(tree, run_id, workspace.user)
    paths = _paths(project, workspace)
    resume = f"kedro databricks attach {found.run_id}{workspace.flags}"
    started = found.started(workspace, tree)
    outcome = follow(started, shower(paths), resume=resume, from_start=from_start)
    report(outcome, paths, found.info)


@click.command(cls=Command)
@profile_option
@env_option
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def cancel(metadata: ProjectMetadata, profile: str | None, env: str | None, run_id: str | None) -> None:
    """Cancel a run that goes on, your last one by default."""
    _, workspace, tree = _open(metadata, profile, env)
    found = history.find(tree, run_id, workspace.user)
    if found.end:
        raise RunError(f"The run {found.run_id} has ended already: {found.outcome}.")
    outcome = found.started(workspace, tree).cancel(lambda _: None)
    say(f"The run {found.run_id} was {outcome.outcome}.")


def _open(
    metadata: ProjectMetadata, profile: str | None, env: str | None
) -> tuple[Project, Workspace, RemoteTree]:
    project = open_project(metadata, env)
    workspace = connect(profile)
    return project, workspace, open_tree(workspace, project.data_root(workspace))


def _paths(project: Project, workspace: Workspace) -> LocalPaths:
    return LocalPaths(project.folder(workspace), project.metadata.project_path)


def _row(run: PastRun) -> tuple[str, ...]:
    seconds = f"{run.end['seconds']:.1f}" if run.end else _elapsed(run)
    facts = [str(run.info.get(name) or "-") for name in ("commit", "branch", "user")]
    return (run.run_id, run.outcome, seconds, facts[0][:7], *facts[1:])


def _elapsed(run: PastRun) -> str:
    began = run.info.get("t")
    return f"{time.time() - float(began):.1f}" if began else "-"
