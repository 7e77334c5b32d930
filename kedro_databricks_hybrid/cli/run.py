"""`kedro databricks run`: `kedro run` on a cluster, as a job, or through Databricks Connect."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli import layout, run_checks, run_job
from kedro_databricks_hybrid.cli.follow import follow, record_printer, report, say_unfinished, starting
from kedro_databricks_hybrid.cli.options import json_option, log_in, profile_option, say, warn
from kedro_databricks_hybrid.cli.push import push, warn_of_edits
from kedro_databricks_hybrid.cli.run_options import RunCommand, options_of_run, project_run
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import ComputeError, HybridError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import history
from kedro_databricks_hybrid.run.compute import ComputeOptions, choose_compute, refuse_out_of_reach
from kedro_databricks_hybrid.run.context import CommandWork, start_in_context
from kedro_databricks_hybrid.run.request import RunRequest, new_run_id
from kedro_databricks_hybrid.run.warm_context import WarmContext, fresh_context
from kedro_databricks_hybrid.spark import connect as spark_connect
from kedro_databricks_hybrid.spark import session as spark_session
from kedro_databricks_hybrid.spark.connect import ConnectOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.run.context import Context
    from kedro_databricks_hybrid.run.follow import Started


@click.command(cls=RunCommand)
@profile_option
@click.option("--cluster", "cluster_name", metavar="NAME", help="Name or id of the cluster to run on.")
@click.option("--serverless", is_flag=True, help="Run on serverless compute (as a job).")
@click.option(
    "--job", "as_job", is_flag=True, help="Run as a job, not in the Python process that earlier runs left."
)
@click.option(
    "--connect",
    "by_connect",
    is_flag=True,
    help="Run nodes on this machine and Spark on Databricks, through Databricks Connect.",
)
@click.option("--push", "push_first", is_flag=True, help="Push the commit and the data first.")
@click.option("--fresh", is_flag=True, help="Run in a new Python process, at the same time as other runs.")
@click.option("--detach", is_flag=True, help="Start the run and exit; `attach` follows it.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Cancel the run after this time."
)
@json_option
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

    Runs the commit that the Git folder on Databricks holds, so push first. All options of `kedro run` have
    the same meaning. The exit status is 0 only if the pipeline completed.
    """
    if serverless and cluster_name:
        raise click.UsageError("--serverless and --cluster exclude each other.")
    if options.get("pipeline") and options.get("pipelines"):
        raise click.UsageError("--pipeline and --pipelines exclude each other.")
    if by_connect:
        refuse_cluster_options(
            {"job": as_job, "fresh": fresh, "detach": detach, "timeout": timeout, "json": as_json}
        )
    metadata: ProjectMetadata = ctx.obj
    command = project_run(metadata)
    opened = open_project(metadata, options["env"], options.get("conf_source"))
    options["env"] = opened.env
    if push_first:
        chosen = {"params": options.get("params") or {}, "pipelines": run_checks.pipelines_of(options)}
        ctx.invoke(push, profile=profile, env=opened.env, **chosen)
        opened = open_project(
            metadata, opened.env, options.get("conf_source")
        )  # push may have set the data root
    if by_connect:
        connect_options = ConnectOptions(profile, clusters.SERVERLESS if serverless else cluster_name)
        run_by_connect(ctx, command, connect_options, options)
        return
    workspace = log_in(profile)
    project = layout.with_data_root(opened.on(workspace))
    root = project.data_root
    code = project.code()
    project.require_env_in(code.sha)
    run_checks.refuse_unknown_names(project, code, options)
    choice = choose_compute(
        ComputeOptions(cluster_name, serverless, as_job),
        project.settings.compute,
        lambda: clusters.visible(workspace),
    )
    refuse_out_of_reach(choice, root)
    sent = options_of_run(command, options, metadata.project_path)
    launch = _Launch(project, code, choice, say)
    launch.describe()
    run_checks.warn_before_start(project, choice, options)
    run_id = new_run_id()
    with starting():
        started = launch.start(run_id, sent, fresh=fresh, seconds=timeout)
    resume = project.attach_command(run_id)
    if detach:
        say(f"Started run {run_id}. Follow it with: {resume}")
        say_unfinished(started, "running")
        return
    show = record_printer(project, err=as_json)
    try:
        outcome = follow(started, show, resume=resume, seconds=timeout)
        if _has_lost_workspace(started):
            started = launch.start_again(sent, seconds=timeout)
            resume = project.attach_command(started.run_id)
            outcome = follow(started, show, resume=resume, seconds=timeout)
    finally:
        if fresh and started.outcome.ended:
            with contextlib.suppress(HybridError):  # the outcome of the run is known already
                started.work.abandon()  # nothing else uses this Python process
    report(outcome, project, started.info, as_json=as_json)


def _has_lost_workspace(started: Started) -> bool:
    """Tell whether a run failed before its first node, as its process is too old to read /Workspace."""
    outcome, work = started.outcome, started.work
    is_warm = isinstance(work, CommandWork) and work.context.is_warm
    return is_warm and outcome.outcome == "failed" and outcome.is_spoiled and not outcome.nodes


@dataclass(frozen=True)
class _Launch:
    """Starts a run of the code in a Git folder on the chosen compute."""

    project: ProjectOnWorkspace
    code: GitFolder
    choice: Choice
    say: Callable[[str], None]

    def start(self, run_id: str, options: dict[str, Any], *, fresh: bool, seconds: float | None) -> Started:
        """Start the run."""
        project, workspace = self.project, self.project.workspace
        cluster = self.choice.cluster
        if self.choice.is_job or cluster is None:
            request = self._request(run_id, options, {"backend": "job", "cluster": self.choice.name})
            return run_job.start(project, self.code, self.choice, request, seconds=seconds, say=self.say)
        clusters.ensure_running(workspace, cluster, self.say)
        warm = WarmContext(workspace, cluster, project.folder)
        context = self._context(warm, fresh=fresh)
        description: dict[str, str | None] = {
            "backend": "interactive",
            "cluster": cluster.name,
            "cluster_id": cluster.cluster_id,
            "context_id": context.context_id,
            "page": f"{workspace.host}/compute/clusters/{cluster.cluster_id}",
        }
        with context.destroyed_on_error() if fresh else contextlib.nullcontext():
            request = self._request(run_id, options, description)
            started = start_in_context(context, request, project.data_tree)
        if not fresh:
            warm.remember_run(run_id)
        return started

    def start_again(self, options: dict[str, Any], *, seconds: float | None) -> Started:
        """Start the run in a new process, as that of its first try may no longer read /Workspace."""
        self.say("The Python process may no longer read /Workspace, so this runs again in a new one.")
        with starting():
            return self.start(new_run_id(), options, fresh=False, seconds=seconds)

    def describe(self) -> None:
        """Print which commit runs on which compute, and warn if it differs from the local project."""
        repository, folder = self.project.repository, self.code
        if self.choice.why:
            self.say(self.choice.why)
        head = repository.head()
        known = head if head.sha == folder.sha else repository.commit(folder.sha or "")
        commit = known or (folder.sha[:7] if folder.sha else "no commit")
        env = f", env {self.project.env}" if self.project.env else ""
        self.say(f"Running {commit} of {folder.branch or 'a tag'} {self.choice.phrase}{env}")
        if not work_in_progress.holds(repository, folder.sha, head):
            command = f"kedro databricks push{self.project.workspace.flags}"
            warn(f"Your local commit is {head}: `{command}` brings it to Databricks.")
        if not work_in_progress.holds_edits(repository, folder.sha):
            warn_of_edits(self.project)

    def _context(self, warm: WarmContext, *, fresh: bool) -> Context:
        """Return a context to run in; if another run is still using it, say so."""
        workspace, tree = self.project.workspace, self.project.data_tree
        requirements = self.project.requirements(self.code.sha)
        if fresh:
            return fresh_context(workspace, warm.cluster, requirements, self.say)
        context, last_run = warm.context(requirements, self.say, lambda run: history.end_of(tree, run))
        if last_run and self._is_running(last_run):
            self.say(
                f"Run {last_run} is still running in this Python process; yours starts after it "
                "(with --fresh: at the same time)."
            )
        return context

    def _request(
        self, run_id: str, options: dict[str, Any], description: dict[str, str | None]
    ) -> RunRequest:
        tree = self.project.data_tree
        return RunRequest(
            run_id=run_id,
            project_path=self.project.folder,
            package_name=self.project.metadata.package_name,
            data_root=PurePosixPath(tree.driver_path),
            options=options,
            user=self.project.workspace.user,
            info={
                "commit": self.code.sha,
                "branch": self.code.branch,
                "env": self.project.env,
                "data_root": tree.root,
                **description,
            },
            prefix=self.project.repository.prefix,
            variables=run_checks.variables(self.project),
        )

    def _is_running(self, run_id: str) -> bool:
        past = history.read(self.project.data_tree, run_id)
        if not past.command_id:
            return False
        return past.started(self.project.workspace, self.project.data_tree).work.ending() is None


def refuse_cluster_options(given: Mapping[str, object]) -> None:
    """Refuse options that only runs on a cluster support.

    Args:
        given: Such options and their values.

    Raises:
        click.UsageError: One of them is set.
    """
    refused = sorted(f"--{name}" for name, value in given.items() if value)
    if refused:
        raise click.UsageError(
            f"--connect runs the nodes on this machine and does not support {', '.join(refused)}."
        )


def run_by_connect(
    ctx: click.Context,
    command: click.Command,
    connect_options: spark_connect.ConnectOptions,
    options: dict[str, Any],
) -> None:
    """Run the pipeline in this process with the project's command, which gets the options that it has.

    The hooks create the Spark session.

    Raises:
        ComputeError: databricks-connect is not installed.
    """
    if spark_session.spark_location() == "local":
        raise ComputeError(
            "databricks-connect is not installed in this environment.",
            hint="It replaces pyspark, so install it in a separate environment: "
            'pip install "kedro-databricks-hybrid[connect]".',
        )
    spark_connect.enable(connect_options)
    names = {each.name for each in command.params}
    ctx.invoke(command, **{name: value for name, value in options.items() if name in names})
