"""`kedro databricks run`: Kedro's own options, on a cluster."""

from __future__ import annotations

import secrets
import sys
import time
from copy import copy
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run

from kedro_databricks_hybrid import cluster, git_folder
from kedro_databricks_hybrid.cli.command import Command, profile_option, say, warn
from kedro_databricks_hybrid.cli.log_output import print_summary, printer
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.cli.push import warn_of_edits
from kedro_databricks_hybrid.errors import RunCancelledError, RunError
from kedro_databricks_hybrid.run import interactive
from kedro_databricks_hybrid.run.local_paths import LocalPaths
from kedro_databricks_hybrid.run.request import RunRequest
from kedro_databricks_hybrid.run.warm import find_requirements, warm_context
from kedro_databricks_hybrid.transfer import roots
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.git_folder import GitFolder
    from kedro_databricks_hybrid.run.log import Outcome
    from kedro_databricks_hybrid.workspace import Workspace


@click.command(cls=Command)
@profile_option
@click.option("--cluster", "cluster_name", metavar="NAME", help="Name or id of the cluster to run on.")
@click.pass_obj
def run(metadata: ProjectMetadata, /, profile: str | None, cluster_name: str | None, **options: Any) -> None:  # noqa: ANN401
    """Run the pipeline on a cluster and follow its log.

    Runs the commit that the Git folder on Databricks holds: push first. All options of `kedro run` work as
    they do there. The exit status is 0 only if the pipeline completed.
    """
    project = open_project(metadata, options["env"])
    options["env"] = project.env
    workspace = connect(profile)
    folder = git_folder.get(workspace, project.git_folder(workspace))
    chosen = cluster.choose(workspace, cluster_name or project.settings.compute.cluster)
    _say_what_runs(project, workspace, folder, chosen)
    cluster.ensure_running(workspace, chosen, say)
    outcome = _run(project, workspace, folder, chosen, options)
    print_summary(outcome)
    if outcome.outcome == "completed":
        return
    if outcome.traceback:
        click.echo(_paths(project, workspace).in_text(outcome.traceback).rstrip(), err=True)
    if outcome.outcome == "cancelled":
        raise RunCancelledError("The run was cancelled.")
    raise RunError(
        f"The run failed: {outcome.error}",
        hint="Mend it, commit, then push and run again.",
    )


def _paths(project: Project, workspace: Workspace) -> LocalPaths:
    return LocalPaths(project.folder(workspace), project.metadata.project_path)


def _run_option(option: click.Parameter) -> click.Parameter:
    """Take one of Kedro's options over; a configuration source is a path on the cluster, not here."""
    taken = copy(option)
    if taken.name == "conf_source":
        taken.callback = None
    if taken.name == "env":
        taken.envvar = "KEDRO_ENV"
    return taken


run.params += [_run_option(option) for option in kedro_run.params]


def _say_what_runs(
    project: Project, workspace: Workspace, folder: GitFolder, chosen: cluster.Cluster
) -> None:
    repository = project.repository
    commit = repository.commit(folder.sha or "") or (folder.sha or "no commit")[:7]
    env = f", env {project.env}" if project.env else ""
    say(f"Running {commit} of {folder.branch or 'a tag'} on the cluster {chosen.name}{env}")
    head = repository.head()
    if head.sha != folder.sha:
        warn(f"Your local commit is {head}: run `kedro databricks push{workspace.flags}` to run that one.")
    warn_of_edits(project)


def _run(
    project: Project,
    workspace: Workspace,
    folder: GitFolder,
    chosen: cluster.Cluster,
    options: dict[str, Any],
) -> Outcome:
    path = project.folder(workspace)
    sha = folder.sha or ""
    requirements = find_requirements(path, lambda name: project.repository.file_at(sha, name))
    context = warm_context(workspace, chosen, path, requirements, say)
    tree = roots.tree(workspace, project.data_root(workspace))
    request = RunRequest(
        run_id=f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}",
        project_path=path,
        package_name=project.metadata.package_name,
        data_root=PurePosixPath(tree.driver_path),
        options=options,
        user=workspace.user,
    )
    paths = _paths(project, workspace)
    show = printer(terminal=sys.stdout.isatty())
    try:
        return interactive.run(context, request, tree, lambda record: show(paths.in_record(record)))
    except KeyboardInterrupt:
        raise RunCancelledError(
            "The run was cancelled.", hint=f"Its log is kept in {tree.root}/{request.log}."
        ) from None
