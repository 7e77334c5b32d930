"""`kedro databricks deploy`: create a job for the project, or update it in place."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.follow import follow, record_printer, report, starting
from kedro_databricks_hybrid.cli.options import (
    Command,
    dry_run_option,
    env_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.cli.run_job import with_requirements
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.project import git_source, notebook
from kedro_databricks_hybrid.project import settings as databricks_yml
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run import deploy as deployed
from kedro_databricks_hybrid.run import job
from kedro_databricks_hybrid.run.compute import (
    WITHOUT_ENVIRONMENT,
    ComputeOptions,
    choose_compute,
    is_refused,
    refuse_out_of_reach,
)
from kedro_databricks_hybrid.run.request import RunRequest, new_run_id

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace
    from kedro_databricks_hybrid.run.compute import Choice


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--name", metavar="NAME", help="Name of the job; by default that of the project.")
@click.option("--cluster", "cluster_name", metavar="NAME", help="Name or id of the cluster to run on.")
@click.option("--serverless", is_flag=True, help="Run on serverless compute.")
@click.option("--schedule", metavar="CRON", help="Quartz cron expression, such as '0 0 6 * * ?'.")
@click.option("--timezone", metavar="ZONE", help="Time zone of the schedule, such as Europe/Berlin.")
@click.option("--pipelines", metavar="NAMES", default="", help="Pipelines to run, separated by commas.")
@click.option("--params", metavar="PARAMS", default="", help="Parameters as for `kedro run --params`.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Tag of the job; may be repeated.")
@click.option("--force", is_flag=True, help="Take over a job of that name that was not created by deploy.")
@click.option("--run", "run_it", is_flag=True, help="Start the job and follow its log.")
@dry_run_option
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
    """Create or update a job for the project.

    The job runs the project's notebook (`kedro databricks notebook` writes it), by default from the branch's
    latest commit at the Git remote. A job of the same name is updated in place. Its runs write the same logs
    as all runs. --dry-run prints the job as JSON.
    """
    if serverless and cluster_name:
        raise click.UsageError("--serverless and --cluster exclude each other.")
    project = open_project(metadata, env).on(connect(profile, warn))
    workspace = project.workspace
    compute_options = ComputeOptions(cluster_name, serverless, job=True)
    choice = choose_compute(compute_options, project.settings.compute, lambda: clusters.visible(workspace))
    if choice.why:
        click.echo(choice.why, err=dry_run)
    refuse_out_of_reach(choice, project.data_root)
    notebook, commit = _notebook(project, choice, dry_run=dry_run)
    project.require_env_in(commit)
    request = _request(project, choice)
    parameters = deployed.parameters(request, env=project.env, pipelines=pipelines, params=params)

    def plan_for(notebook: job.Notebook) -> deployed.Plan:
        wanted = deployed.settings(
            name or project.settings.job.name or _default_name(project),
            databricks_yml.project_name(metadata.package_name),
            job.settings(notebook, parameters, choice, project.settings.compute, []),
            schedule=_schedule(project, schedule, timezone),
            tags=_tags(project, tags),
        )
        return deployed.plan(workspace, wanted, force=force)

    planned = plan_for(notebook)
    if dry_run:
        _say_plan(planned)
        return
    try:
        job_id = _perform(workspace, planned)
    except WorkspaceError as error:
        if not is_refused(error):
            raise
        say(WITHOUT_ENVIRONMENT)
        job_id = _perform(workspace, plan_for(notebook.without_environment()))
    if run_it:
        _run(project, job_id, request, commit)


def _perform(workspace: Workspace, planned: deployed.Plan) -> int:
    """Create or update the job, print what was done, and return its id."""
    name, job_id = planned.wanted["name"], planned.job_id
    if planned.is_done and job_id is not None:
        say(f"The job {name!r} is up to date: {workspace.host}/jobs/{job_id}")
        return job_id
    changed = f" ({', '.join(planned.changes + planned.removals)})" if job_id else ""
    verb = "Updated" if job_id else "Created"
    job_id = deployed.perform(workspace, planned)
    say(f"{verb} the job {name!r}{changed}: {workspace.host}/jobs/{job_id}")
    return job_id


def _notebook(
    project: ProjectOnWorkspace, choice: Choice, *, dry_run: bool
) -> tuple[job.Notebook, str | None]:
    """Return the project's notebook as a job finds it, and the commit that a run would use now."""
    repository, code_settings = project.repository, project.settings.code
    if project.syncs_files or code_settings.job_source == "git_folder":
        code = project.code()
        if not project.syncs_files:
            notebook.require_for_jobs(repository, code.sha or "")
        made = job.Notebook(project.folder / notebook.NAME)
        return with_requirements(made, project, code.sha, choice, dry_run=dry_run), code.sha
    source = git_source.source(repository, code_settings)
    git_source.refuse_unreachable(source, project.workspace)
    commit = git_source.at_remote(repository, code_settings, source.branch, None)
    is_local = commit is None or repository.commit(commit) is not None
    if is_local:
        notebook.require_for_jobs(repository, commit or source.commit.sha)
    if commit not in {None, source.commit.sha}:
        at_remote = (commit or "")[:7]
        warn(f"The job runs {at_remote}, the commit of {source.branch} at the Git remote: push your commit.")
    checkout = notebook.git_source(source, branch=source.branch)
    made = job.Notebook(notebook.path_in_repository(repository), checkout)
    sha = commit if commit and is_local else source.commit.sha
    return with_requirements(made, project, sha, choice, dry_run=dry_run), commit


def _request(project: ProjectOnWorkspace, choice: Choice) -> RunRequest:
    """Return the request of every run of the job; each run adds its own id when it starts."""
    tree = project.data_tree
    return RunRequest(
        run_id="",
        project_path=PurePosixPath(".."),
        package_name=project.metadata.package_name,
        data_root=PurePosixPath(tree.driver_path),
        options={"env": project.env},
        user=project.workspace.user,
        info={
            "branch": project.repository.branch(),
            "env": project.env,
            "data_root": tree.root,
            "backend": "job",
            "cluster": choice.name,
        },
        prefix=project.repository.prefix,
    )


def _run(project: ProjectOnWorkspace, job_id: int, request: RunRequest, commit: str | None) -> None:
    """Start the job and follow its run to the end."""
    run_id = new_run_id()
    description = {**request.full_info, "run_id": run_id, "commit": commit}
    start = partial(deployed.run_now, project.workspace, job_id, run_id, say)
    with starting():
        started = job.begin(start, run_id, description, project.data_tree)
    outcome = follow(started, record_printer(project), resume=project.attach_command(run_id))
    report(outcome, project, started.info)


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
            raise click.UsageError("--timezone needs a --schedule.")
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


def _say_plan(planned: deployed.Plan) -> None:
    document: dict[str, Any] = planned.wanted
    if planned.job_id is None:
        click.echo("Would create this job:", err=True)
    elif planned.is_done:
        click.echo(f"The job {planned.job_id} is up to date:", err=True)
    else:
        changed = ", ".join(planned.changes + planned.removals)
        click.echo(f"Would update {changed} of the job {planned.job_id}:", err=True)
    say_json(document)
