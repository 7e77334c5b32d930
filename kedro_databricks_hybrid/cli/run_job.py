"""`kedro databricks run --job` and `--serverless`: submit the run as a job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli.options import warn
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import ComputeError, SettingsError, WorkspaceError
from kedro_databricks_hybrid.project import git_source, notebook, settings
from kedro_databricks_hybrid.project.requirements import fit
from kedro_databricks_hybrid.run import install, job
from kedro_databricks_hybrid.run.compute import WITHOUT_ENVIRONMENT, is_refused, serverless_dependencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.run.follow import Started
    from kedro_databricks_hybrid.run.request import RunRequest

GIT_SOURCE = "git_source"


def start(
    project: ProjectOnWorkspace,
    code: GitFolder,
    choice: Choice,
    request: RunRequest,
    *,
    seconds: float | None,
    say: Callable[[str], None],
) -> Started:
    """Submit a run as a job.

    Args:
        project: The project.
        code: Its code on Databricks.
        choice: The compute.
        request: The run.
        seconds: Databricks ends the run after this time; None sets no limit.
        say: Called with one line of progress.
    """
    workspace, tree = project.workspace, project.data_tree
    is_at_commit = project.settings.code.job_source == GIT_SOURCE
    if is_at_commit:
        notebook = _at_commit(project, code, choice)
        request = replace(request, project_path=PurePosixPath(".."))
        dependencies: list[str] = []
    else:
        notebook, dependencies = _in_folder(project, code, choice, say)
    submission = job.Submission(notebook, choice, project.settings.compute, dependencies, seconds)
    try:
        return job.submit(workspace, request, tree, submission, say)
    except WorkspaceError as error:
        if not (choice.compute == "serverless" and is_refused(error)):
            raise
    say(WITHOUT_ENVIRONMENT)
    notebook = notebook.without_environment() if is_at_commit else _without_environment(project, code)
    return job.submit(workspace, request, tree, replace(submission, notebook=notebook, dependencies=[]), say)


def _at_commit(project: ProjectOnWorkspace, code: GitFolder, choice: Choice) -> job.Notebook:
    """Return the project's notebook at the Git folder's commit."""
    if project.syncs_files:
        raise SettingsError(
            "With code.sync: files there is no commit that a job could check out.",
            hint="Set code.job_source to git_folder, or code.sync to git.",
        )
    sha = code.sha or ""
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_unreachable(source, project.workspace)
    notebook.require_for_jobs(project.repository, sha)
    checkout = notebook.git_source(source, commit=sha)
    path = notebook.path_in_repository(project.repository)
    return with_requirements(job.Notebook(path, checkout), project, sha, choice)


def with_requirements(
    made: job.Notebook,
    project: ProjectOnWorkspace,
    sha: str | None,
    choice: Choice,
    *,
    dry_run: bool = False,
) -> job.Notebook:
    """Return the project's notebook with what its job installs before it starts.

    The notebook installs a requirements file itself: before that only the wheel of this package is needed, if
    no index has it. Requirements that are in no such file are installed as libraries.

    Args:
        made: The notebook.
        project: The project.
        sha: The commit.
        choice: The compute.
        dry_run: Write nothing to the workspace.

    Raises:
        ComputeError: A job cannot install them.
    """
    requirements = project.requirements(sha)
    if requirements is None:
        return made
    if not dry_run:
        install.put_own(project.workspace, requirements)
    if requirements.is_for_pip:
        return replace(made, wheel=requirements.own_wheel)
    if choice.compute == "serverless":
        fitting = serverless_dependencies(requirements, project.settings.compute.environment_version)
    else:
        fitting = fit(requirements, _runtime(project, choice))
    if fitting.unhashed:
        raise ComputeError(
            f"{requirements.path.name} has hashes, and Git sources or folders without: pip installs them in "
            "two steps, and a job has one.",
            hint="Export it without hashes to requirements.txt and commit that.",
        )
    if choice.compute == "serverless":
        return replace(made, dependencies=tuple(fitting.lines or ()))
    path = install.put_lines(project.workspace, fitting.lines or [], dry_run=dry_run)
    return replace(made, requirements=path)


def _in_folder(
    project: ProjectOnWorkspace, code: GitFolder, choice: Choice, say: Callable[[str], None]
) -> tuple[job.Notebook, list[str]]:
    """Write a notebook that runs the project's folder; return it and the serverless dependencies."""
    workspace, compute = project.workspace, project.settings.compute
    requirements = project.requirements(code.sha)
    install.put_own(workspace, requirements)
    name = settings.project_name(project.metadata.package_name)
    if requirements is None:
        return job.Notebook(job.write_notebook(workspace, name, ())), []
    if choice.compute == "serverless":
        fitting = serverless_dependencies(requirements, compute.environment_version)
        install.tell(fitting, requirements, say)
        if compute.pip_options:
            warn(
                "compute.pip_options have no effect on serverless compute: set the package index in the "
                "workspace's settings."
            )
        if fitting.needs_pip:
            return job.Notebook(job.write_notebook(workspace, name, install.cells(requirements, fitting))), []
        return job.Notebook(job.write_notebook(workspace, name, ())), fitting.lines or []
    fitting = fit(requirements, _runtime(project, choice))
    install.tell(fitting, requirements, say)
    cells = install.cells(requirements, fitting)
    return job.Notebook(job.write_notebook(workspace, name, cells)), []


def _without_environment(project: ProjectOnWorkspace, code: GitFolder) -> job.Notebook:
    """Write a notebook that itself installs the requirements on serverless compute, and return it."""
    requirements = project.requirements(code.sha)
    cells: list[str] = []
    if requirements:
        version = project.settings.compute.environment_version
        cells = install.cells(requirements, serverless_dependencies(requirements, version))
    name = settings.project_name(project.metadata.package_name)
    return job.Notebook(job.write_notebook(project.workspace, name, cells), has_environment=False)


def _runtime(project: ProjectOnWorkspace, choice: Choice) -> str:
    """Return the runtime of the existing cluster, or of the one that the job creates."""
    if choice.cluster:
        return clusters.details(project.workspace, choice.cluster).runtime
    return str((project.settings.compute.job_cluster or {}).get("spark_version", ""))
