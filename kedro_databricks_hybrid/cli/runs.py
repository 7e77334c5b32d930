"""`kedro databricks runs`, `logs`, `attach` and `cancel`: past runs and runs in progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.follow import follow, record_printer, report
from kedro_databricks_hybrid.cli.options import (
    Command,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.cli.output import print_table
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import history
from kedro_databricks_hybrid.run.log import Outcome

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.run.history import PastRun

_COLUMNS = ("run", "outcome", "seconds", "commit", "branch", "user")


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--count", type=click.IntRange(1, 500), default=20, show_default=True, help="Number of runs.")
@json_option
@click.pass_obj
def runs(metadata: ProjectMetadata, profile: str | None, env: str | None, count: int, as_json: bool) -> None:
    """List the latest runs, the newest first: commit, user, duration, outcome."""
    tree = open_project(metadata, env).on(connect(profile, warn)).data_tree
    rows = [_row(run) for run in history.latest(tree, count)]
    if as_json:
        say_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        return
    if not rows:
        say(f"No run has left a log in {tree.root}.")
        return
    print_table(_COLUMNS, rows)


@click.command(cls=Command)
@profile_option
@env_option
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def logs(metadata: ProjectMetadata, profile: str | None, env: str | None, run_id: str | None) -> None:
    """Print the log of a run, by default your last one; the cluster need not exist any more."""
    project = open_project(metadata, env).on(connect(profile, warn))
    found = history.find(project.data_tree, run_id, project.workspace.user)
    reader = found.started(project.workspace, project.data_tree).reader
    show = record_printer(project, splits=False)
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
    report(outcome, project, found.info)


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--all", "from_start", is_flag=True, help="Print the log from its beginning.")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def attach(
    metadata: ProjectMetadata, profile: str | None, env: str | None, from_start: bool, run_id: str | None
) -> None:
    """Follow a run in progress, by default your last one, and exit with the run's status.

    If this machine has followed the run before, printing resumes where it stopped.
    """
    project = open_project(metadata, env).on(connect(profile, warn))
    found = history.find(project.data_tree, run_id, project.workspace.user)
    started = found.started(project.workspace, project.data_tree)
    resume = project.attach_command(found.run_id)
    outcome = follow(started, record_printer(project), resume=resume, from_start=from_start)
    report(outcome, project, found.info)


@click.command(cls=Command)
@profile_option
@env_option
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def cancel(metadata: ProjectMetadata, profile: str | None, env: str | None, run_id: str | None) -> None:
    """Cancel a run in progress, by default your last one."""
    project = open_project(metadata, env).on(connect(profile, warn))
    found = history.find(project.data_tree, run_id, project.workspace.user)
    if found.end:
        raise RunError(f"The run {found.run_id} has ended already: {found.outcome}.")
    outcome = found.started(project.workspace, project.data_tree).cancel(lambda _: None)
    say(f"The run {found.run_id} was {outcome.outcome}.")


def _row(run: PastRun) -> tuple[str, ...]:
    seconds = f"{run.end['seconds']:.1f}" if run.end else _elapsed(run)
    commit, branch, user = (str(run.info.get(name) or "-") for name in ("commit", "branch", "user"))
    return (run.run_id, run.outcome, seconds, commit[:7], branch, user)


def _elapsed(run: PastRun) -> str:
    began = run.info.get("t")
    return f"{time.time() - float(began):.1f}" if began else "-"
