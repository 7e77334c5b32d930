"""`kedro databricks run`: Kedro's own options, on a cluster, as a job, or by Databricks Connect."""

from __future__ import annotations

import contextlib
from copy import copy
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run

from kedro_databricks_hybrid.cli import layout, run_job
from kedro_databricks_hybrid.cli.follow import follow, report, shower, starting
from kedro_databricks_hybrid.cli.options import Command, profile_option, say, warn
from kedro_databricks_hybrid.cli.push import push, warn_of_edits
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import ComputeError, HybridError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import history
from kedro_databricks_hybrid.run.compute import Wishes, choose_compute, refuse_out_of_reach
from kedro_databricks_hybrid.run.context import start_in_context
from kedro_databricks_hybrid.run.log import LocalPaths
from kedro_databricks_hybrid.run.request import RunRequest, new_run_id
from kedro_databricks_hybrid.run.warm_context import Warm, fresh_context
from kedro_databricks_hybrid.spark import connect as spark_connect
from kedro_databricks_hybrid.spark import session as spark_session
from kedro_databricks_hybrid.spark.connect import Wish
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.run.context import Context
    from kedro_databricks_hybrid.run.follow import Started
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


@click.command(cls=Command)
@profile_option
@click.option("--cluster", "cluster_name", metavar="NAME", help="Name or id of the cluster to run on.")
@click.option("--serverless", is_flag=True, help="Run on serverless compute, which takes jobs alone.")
@click.option(
    "--job", "as_job", is_flag=True, help="Run as a job of its own, not in the project's warm Python."
)
@click.option("--connect", "by_connect", is_flag=True, help="Run here, with Spark there: Databricks Connect.")
@click.option("--push", "push_first", is_flag=True, help="Push the commit and the data first.")
@click.option("--fresh", is_flag=True, help="Run in a new Python process of its own, beside any other run.")
@click.option("--detach", is_flag=True, help="Start the run and leave; `attach` follows it.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Cancel the run after that.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; the log goes to stderr.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    profile: str | None,
    cluster_name: str | None,
    serverless: bool,
    as_job: bool,
    by_connect: bool,
    push_first: bool,
    fresh: bool,
    detach: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - Kedro's own
) -> None:
    """Run the pipeline on a cluster and follow its log.

    Runs the commit that the Git folder on Databricks holds: push first. All options of `kedro run` work as
    they do there. The exit status is 0 only if the pipeline completed.
    """
    if serverless and cluster_name:
        raise click.UsageError("--serverless and --cluster exclude each other.")
    if options.get("pipeline") and options.get("pipelines"):
        raise click.UsageError("--pipeline and --pipelines exclude each other.")
    if by_connect:
        refuse_options_of_the_cluster(
            {"job": as_job, "fresh": fresh, "detach": detach, "timeout": timeout, "json": as_json}
        )
    metadata: ProjectMetadata = ctx.obj
    project = open_project(metadata, options["env"])
    options["env"] = project.env
    if push_first:
        ctx.invoke(push, profile=profile, env=project.env)
        project = open_project(metadata, options["env"])  # the push may have asked for the data root
    if by_connect:
        wish = Wish(profile, clusters.SERVERLESS if serverless else cluster_name)
        run_by_connect(ctx, wish, options)
        return
    workspace = connect(profile)
    project = layout.with_root(project, workspace)
    root = project.data_root(workspace)
    folder = project.code_there(workspace)
    tell = (lambda line: click.echo(line, err=True)) if as_json else say
    wishes = Wishes(cluster_name, serverless, as_job)
    choice = choose_compute(wishes, project.settings.compute, lambda: clusters.visible(workspace))
    refuse_out_of_reach(choice, root)
    place = _Place(project, workspace, folder, choice, tell)
    place.tell_what_runs()
    run_id = new_run_id()
    with starting():
        started = place.start(run_id, options, fresh=fresh, seconds=timeout)
    resume = f"kedro databricks attach {run_id}{workspace.flags}"
    if detach:
        say(f"Started run {run_id}. Follow it with: {resume}")
        return
    try:
        outcome = follow(started, shower(place.paths, err=as_json), resume=resume, seconds=timeout)
    finally:
        if fresh and started.outcome.ended:
            with contextlib.suppress(HybridError):  # what came of the run is known
                started.work.abandon()  # nobody else has that Python process
    report(outcome, place.paths, started.facts, as_json=as_json)


@dataclass(frozen=True)
class _Place:
    """Where a run takes place: a commit in a Git folder, on some compute."""

    project: Project
    workspace: Workspace
    folder: GitFolder
    choice: Choice
    say: Callable[[str], None]

    @property
    def path(self) -> PurePosixPath:
        return self.project.folder(self.workspace)

    @property
    def paths(self) -> LocalPaths:
        return LocalPaths(self.path, self.project.metadata.project_path)

    @property
    def tree(self) -> RemoteTree:
        return open_tree(self.workspace, self.project.data_root(self.workspace))

    def start(self, run_id: str, options: dict[str, Any], *, fresh: bool, seconds: float | None) -> Started:
        """Start a run on what was chosen for it."""
        chosen = self.choice.cluster
        if self.choice.is_job or chosen is None:
            request = self._request(run_id, options, {"backend": "job", "cluster": self.choice.name})
            return run_job.start(
                self.project, self.workspace, self.folder, self.choice, request, self.tree,
                seconds=seconds, say=self.say,
            )  # fmt: skip
        clusters.ensure_running(self.workspace, chosen, self.say)
        warm = Warm(self.workspace, chosen, self.path)
        context = self._context(warm, fresh=fresh)
        facts: dict[str, str | None] = {
            "backend": "interactive",
            "cluster": chosen.name,
            "cluster_id": chosen.cluster_id,
            "context_id": context.context_id,
            "page": f"{self.workspace.host}/compute/clusters/{chosen.cluster_id}",
        }
        with context.destroyed_on_error() if fresh else contextlib.nullcontext():
            started = start_in_context(context, self._request(run_id, options, facts), self.tree)
        if not fresh:
            warm.remember_run(run_id)
        return started

    def tell_what_runs(self) -> None:
        """Say which commit runs where, and what of the local project it is not."""
        repository, folder = self.project.repository, self.folder
        if self.choice.why:
            self.say(self.choice.why)
        head = repository.head()
        known = head if head.sha == folder.sha else repository.commit(folder.sha or "")
        commit = known or (folder.sha[:7] if folder.sha else "no commit")
        env = f", env {self.project.env}" if self.project.env else ""
        self.say(f"Running {commit} of {folder.branch or 'a tag'} {self.choice.place}{env}")
        if not work_in_progress.holds(repository, folder.sha, head):
            push_it = f"run `kedro databricks push{self.workspace.flags}` to run that one."
            warn(f"Your local commit is {head}: {push_it}")
        if not work_in_progress.holds_edits(repository, folder.sha):
            warn_of_edits(self.project)

    def _context(self, warm: Warm, *, fresh: bool) -> Context:
        """Return a context to run in, and say if another run is in its way."""
        requirements = self.project.requirements(self.workspace, self.folder.sha)
        if fresh:
            return fresh_context(self.workspace, warm.cluster, requirements, self.say)
        context, last_run = warm.context(requirements, self.say, lambda run: history.end_of(self.tree, run))
        if last_run and self._goes_on(last_run):
            self.say(
                f"Run {last_run} goes on in this Python process; yours starts after it (--fresh: beside it)."
            )
        return context

    def _request(self, run_id: str, options: dict[str, Any], facts: dict[str, str | None]) -> RunRequest:
        return RunRequest(
            run_id=run_id,
            project_path=self.path,
            package_name=self.project.metadata.package_name,
            data_root=PurePosixPath(self.tree.driver_path),
            options=options,
            user=self.workspace.user,
            facts={
                "commit": self.folder.sha,
                "branch": self.folder.branch,
                "env": self.project.env,
                "data_root": self.tree.root,
                **facts,
            },
        )

    def _goes_on(self, run_id: str) -> bool:
        past = history.read(self.tree, run_id)
        if not past.command_id:
            return False
        return past.started(self.workspace, self.tree).work.ending() is None


def _run_option(option: click.Parameter) -> click.Parameter:
    """Take one of Kedro's options over; a configuration source is a path on the cluster, not here."""
    taken = copy(option)
    if taken.name == "conf_source":
        taken.callback = None
    if taken.name == "env":
        taken.envvar = "KEDRO_ENV"
    return taken


run.params += [_run_option(option) for option in kedro_run.params]


def refuse_options_of_the_cluster(given: Mapping[str, object]) -> None:
    """Refuse options that are for runs on the cluster alone.

    Args:
        given: Such options and their values.
    """
    without_use = sorted(f"--{name}" for name, value in given.items() if value)
    if without_use:
        raise click.UsageError(
            f"--connect runs the nodes here, where {', '.join(without_use)} means nothing."
        )


def run_by_connect(ctx: click.Context, wish: spark_connect.Wish, options: dict[str, Any]) -> None:
    """Run the pipeline in this process, by Kedro's own command; our hooks make the session.

    Raises:
        ComputeError: databricks-connect is not installed.
    """
    if spark_session.place() == "local":
        raise ComputeError(
            "databricks-connect is not in this environment.",
            hint="It replaces pyspark, so make an environment of its own for it: "
            'pip install "kedro-databricks-hybrid[connect]".',
        )
    spark_connect.wish(wish)
    ctx.invoke(kedro_run, **options)
