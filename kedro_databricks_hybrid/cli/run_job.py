"""`kedro databricks run --job` and `--serverless`: the run as a job of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli.options import warn
from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.errors import SettingsError, WorkspaceError
from kedro_databricks_hybrid.project import git_source, notebook, settings
from kedro_databricks_hybrid.project.requirements import fit
from kedro_databricks_hybrid.run import install, job
from kedro_databricks_hybrid.run.compute import WITHOUT_ENVIRONMENT, is_refused, serverless_dependencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.run.follow import Started
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

GIT_SOURCE = "git_source"


def start(
    project: Project,
    workspace: Workspace,
    folder: GitFolder,
    choice: Choice,
    request: RunRequest,
    tree: RemoteTree,
    *,
    seconds: float | None,
    say: Callable[[str], None],
) -> Started:
    """Submit a run as a job of its own.

    Args:
        project: The project.
        workspace: Where.
        folder: The code there.
        choice: What it runs on.
        request: What it runs.
        tree: The data root.
        seconds: When Databricks shall end it, None for never.
        say: Called with one line of progress.
    """
    compute = project.settings.compute
    is_at_commit = project.settings.code.job_source == GIT_SOURCE
    if is_at_commit:
        notebook = _at_commit(project, workspace, folder)
        request = replace(request, project_path=PurePosixPath(".."))
        dependencies: list[str] = []
    else:
        notebook, dependencies = _in_folder(project, workspace, folder, choice, say)
    submission = job.Submission(notebook, choice, compute, dependencies, seconds)
    try:
        return job.submit(workspace, request, tree, submission, say)
    except WorkspaceError as error:
        if not (choice.compute == "serverless" and is_refused(error)):
            raise
    say(WITHOUT_ENVIRONMENT)
    notebook = notebook.without_environment() if is_at_commit else _installing(project, workspace, folder)
    return job.submit(workspace, request, tree, replace(submission, notebook=notebook, dependencies=[]), say)


def _at_commit(project: Project, workspace: Workspace, folder: GitFolder) -> job.Notebook:
    """Return the project's own notebook at the Git folder's commit, which installs the requirements."""
    if project.syncs_files:
        raise SettingsError(
            "With code.sync: files no commit holds what shall run.",
            hint="Set code.job_source to git_folder, or code.sync to git.",
        )
    sha = folder.sha or ""
    source = git_source.source(project.repository, project.settings.code)
    git_source.refuse_unreachable(source, workspace)
    notebook.require_for_jobs(project.repository, sha)
    checkout = notebook.git_source(source, commit=sha)
    wheel = install.put_own(workspace, project.requirements(workspace, sha))
    return job.Notebook(notebook.path_in_repository(project.repository), checkout, wheel)


def _in_folder(
    project: Project, workspace: Workspace, folder: GitFolder, choice: Choice, say: Callable[[str], None]
) -> tuple[job.Notebook, list[str]]:
    """Return a notebook of ours for the project's folder, and what a serverless environment needs for it."""
    compute = project.settings.compute
    requirements = project.requirements(workspace, folder.sha)
    install.put_own(workspace, requirements)
    name = settings.project_name(project.metadata.package_name)
    if requirements is None:
        return job.Notebook(job.write_notebook(workspace, name, ())), []
    if choice.compute == "serverless":
        fitting = serverless_dependencies(requirements, compute.environment_version)
        install.tell(fitting, requirements, say)
        if compute.pip_options:
            warn(
                "compute.pip_options do not reach serverless compute: its workspace settings name the index."
            )
        return job.Notebook(job.write_notebook(workspace, name, ())), fitting.lines or []
    fitting = fit(requirements, _runtime(project, workspace, choice))
    install.tell(fitting, requirements, say)
    cells = install.cells(requirements, fitting)
    return job.Notebook(job.write_notebook(workspace, name, cells)), []


def _installing(project: Project, workspace: Workspace, folder: GitFolder) -> job.Notebook:
    """Return a notebook of ours that installs the requirements itself, on serverless compute."""
    requirements = project.requirements(workspace, folder.sha)
    cells: list[str] = []
    if requirements:
        version = project.settings.compute.environment_version
        cells = install.cells(requirements, serverless_dependencies(requirements, version))
    name = settings.project_name(project.metadata.package_name)
    return job.Notebook(job.write_notebook(workspace, name, cells), has_environment=False)


def _runtime(project: Project, workspace: Workspace, choice: Choice) -> str:
    """Return the runtime of a cluster that is there, or of the one that the job makes."""
    if choice.cluster:
        return clusters.details(workspace, choice.cluster).runtime
    return str((project.settings.compute.job_cluster or {}).get("spark_version", ""))
