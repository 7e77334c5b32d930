"""`kedro databricks deploy`: a job for the project, made once and updated in place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.follow import follow, report, shower, starting
from kedro_databricks_hybrid.cli.options import Command, env_option, profile_option, say, say_json, warn
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.project import git_source, notebook
from kedro_databricks_hybrid.project import settings as databricks_yml
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import deploy as deployed
from kedro_databricks_hybrid.run import install, job
from kedro_databricks_hybrid.run.compute import (
    WITHOUT_ENVIRONMENT,
    Wishes,
    choose_compute,
    is_refused,
    refuse_out_of_reach,
)
from kedro_databricks_hybrid.run.log import LocalPaths
from kedro_databricks_hybrid.run.request import RunRequest, new_run_id
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--name", metavar="NAME", help="Name of the job; the project's by default.")
@click.option("--cluster", "cluster_name", metavar="NAME", help="Name or id of the cluster to run on.")
@click.option("--serverless", is_flag=True, help="Run on serverless compute.")
@click.option("--schedule", metavar="CRON", help="Quartz cron expression, such as '0 0 6 * * ?'.")
@click.option("--timezone", metavar="ZONE", help="Time zone of the schedule, such as Europe/Berlin.")
@click.option("--pipelines", metavar="NAMES", default="", help="Pipelines to run, separated by commas.")
@click.option("--params", metavar="PARAMS", default="", help="Parameters as for `kedro run --params`.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Tag of the job; may be repeated.")
@click.option("--force", is_flag=True, help="Take over a job of that name that was made otherwise.")
@click.option("--run", "run_it", is_flag=True, help="Start the job and follow its log.")
@click.option("--dry-run", is_flag=True, help="Print the job as JSON, and do nothing.")
@click.pass_obj
def deploy(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    name: str | None,
    cluster_name: str | None,
    serverless: bool,
    schedule: str | None,
    timezone: str | None,
    pipelines: str,
    params: str,
    tags: tuple[str, ...],
    force: bool,
    run_it: bool,
    dry_run: bool,
) -> None:
    """Make or update a job for the project.

    The job runs the project's notebook (`kedro databricks notebook` writes it) as the branch at the Git
    remote has it when a run starts. A job of the same name is updated in place. Its runs leave logs as all
    runs do.
    """
    if serverless and cluster_name:
        raise click.UsageError("--serverless and --cluster exclude each other.")
    project = open_project(metadata, env)
    workspace = connect(profile)
    wishes = Wishes(cluster_name, serverless, job=True)
    choice = choose_compute(wishes, project.settings.compute, lambda: clusters.visible(workspace))
    if choice.why:
        click.echo(choice.why, err=dry_run)
    refuse_out_of_reach(choice, project.data_root(workspace))
    place = _Place(project, workspace, choice, dry_run)
    notebook, commit = place.notebook()
    request = place.request()
    parameters = deployed.parameters(request, env=project.env, pipelines=pipelines, params=params)

    def planned_for(notebook: job.Notebook) -> deployed.Plan:
        wanted = deployed.settings(
            name or project.settings.job.name or _default_name(project),
            databricks_yml.project_name(metadata.package_name),
            job.settings(notebook, parameters, choice, project.settings.compute, []),
            schedule=_schedule(project, schedule, timezone),
            tags=_tags(project, tags),
        )
        return deployed.plan(workspace, wanted, force=force)

    planned = planned_for(notebook)
    if dry_run:
        _tell_plan(planned)
        return
    try:
        job_id = _performed(workspace, planned)
    except WorkspaceError as error:
        if not is_refused(error):
            raise
        say(WITHOUT_ENVIRONMENT)
        job_id = _performed(workspace, planned_for(notebook.without_environment()))
    if run_it:
        place.run(job_id, request, commit)


def _performed(workspace: Workspace, planned: deployed.Plan) -> int:
    """Make or update the job, say so, and return its number."""
    name, job_id = planned.wanted["name"], planned.job_id
    if planned.is_done and job_id is not None:
        say(f"The job {name!r} is as it should be: {workspace.host}/jobs/{job_id}")
        return job_id
    changed = f" ({', '.join(planned.changes + planned.removals)})" if job_id else ""
    verb = "Updated" if job_id else "Created"
    job_id = deployed.perform(workspace, planned)
    say(f"{verb} the job {name!r}{changed}: {workspace.host}/jobs/{job_id}")
    return job_id


@dataclass(frozen=True)
class _Place:
    """Where the job runs what."""

    project: Project
    workspace: Workspace
    choice: Choice
    dry_run: bool = False

    @property
    def tree(self) -> RemoteTree:
        return open_tree(self.workspace, self.project.data_root(self.workspace))

    def notebook(self) -> tuple[job.Notebook, str | None]:
        """Return the project's notebook as jobs find it, and the commit that they run now."""
        repository = self.project.repository
        if self.project.syncs_files or self.project.settings.code.job_source == "git_folder":
            folder = self.project.code_there(self.workspace)
            if not self.project.syncs_files:
                notebook.require_for_jobs(repository, folder.sha or "")
            path = self.project.folder(self.workspace) / notebook.NAME
            return job.Notebook(path, wheel=self._wheel(folder.sha)), folder.sha
        source = git_source.source(repository, self.project.settings.code)
        git_source.refuse_unreachable(source, self.workspace)
        commit = git_source.at_remote(repository, self.project.settings.code, source.branch, None)
        known = commit is None or repository.commit(commit) is not None
        if known:
            notebook.require_for_jobs(repository, commit or source.commit.sha)
        if commit not in {None, source.commit.sha}:
            warn(
                f"The job runs {source.branch} as the remote has it, {(commit or '')[:7]}: push your commit."
            )
        checkout = notebook.git_source(source, branch=source.branch)
        wheel = self._wheel(commit if commit and known else source.commit.sha)
        path = notebook.path_in_repository(repository)
        return job.Notebook(path, checkout, wheel), commit

    def _wheel(self, sha: str | None) -> PurePosixPath | None:
        """Return the wheel of this package that the job's notebook finds installed, where no index has it."""
        requirements = self.project.requirements(self.workspace, sha)
        if self.dry_run:
            return requirements.own_wheel if requirements else None
        return install.put_own(self.workspace, requirements)

    def request(self) -> RunRequest:
        """Return what the job is asked to do whenever it runs; which run that is, is known only then."""
        branch = self.project.repository.branch()
        return RunRequest(
            run_id="",
            project_path=PurePosixPath(".."),
            package_name=self.project.metadata.package_name,
            data_root=PurePosixPath(self.tree.driver_path),
            options={"env": self.project.env},
            user=self.workspace.user,
            facts={
                "branch": branch,
                "env": self.project.env,
                "data_root": self.tree.root,
                "backend": "job",
                "cluster": self.choice.name,
            },
        )

    def run(self, job_id: int, request: RunRequest, commit: str | None) -> None:
        """Start the job and follow it to its end."""
        run_id = new_run_id()
        facts = {**request.all_facts, "run_id": run_id, "commit": commit}
        start = partial(deployed.run_now, self.workspace, job_id, run_id, say)
        with starting():
            started = job.begin(start, run_id, facts, self.tree)
        folder = self.project.folder(self.workspace)
        paths = LocalPaths(folder, self.project.metadata.project_path)
        resume = f"kedro databricks attach {run_id}{self.workspace.flags}"
        outcome = follow(started, shower(paths), resume=resume)
        report(outcome, paths, started.facts)


def _default_name(project: Project) -> str:
    """Return the project's name; a job for another env than `databricks` is another job."""
    name = databricks_yml.project_name(project.metadata.package_name)
    other = project.env not in {None, databricks_yml.DATABRICKS_ENV}
    return f"{name}-{project.env}" if other else name


def _schedule(project: Project, cron: str | None, timezone: str | None) -> dict[str, str] | None:
    given = project.settings.job
    cron = cron or given.schedule
    if cron is None:
        if timezone:
            raise click.UsageError("--timezone wants a --schedule.")
        return None
    return {"quartz_cron_expression": cron, "timezone_id": timezone or given.timezone}


def _tags(project: Project, given: tuple[str, ...]) -> dict[str, str]:
    tags = {str(key): str(value) for key, value in (project.settings.job.tags or {}).items()}
    for each in given:
        key, separator, value = each.partition("=")
        if not (key and separator):
            raise click.UsageError(f"--tag {each!r} is not of the form KEY=VALUE.")
        tags[key] = value
    return tags


def _tell_plan(planned: deployed.Plan) -> None:
    document: dict[str, Any] = planned.wanted
    if planned.job_id is None:
        click.echo("Would create this job:", err=True)
    elif planned.is_done:
        click.echo(f"The job {planned.job_id} is as it should be:", err=True)
    else:
        changed = ", ".join(planned.changes + planned.removals)
        click.echo(f"Would update {changed} of the job {planned.job_id}:", err=True)
    say_json(document)
