"""`kedro databricks run --job` and `--serverless`: the run as a job of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid import cluster, code, project_notebook, settings
from kedro_databricks_hybrid.cli.command import warn
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.run import installation, job, job_notebook, serverless
from kedro_databricks_hybrid.run.requirements import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.git_folder import GitFolder
    from kedro_databricks_hybrid.run.backend import Choice
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.run.started import Started
    from kedro_databricks_hybrid.transfer.remote import RemoteTree
    from kedro_databricks_hybrid.workspace import Workspace

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
    if project.settings.code.job_source == GIT_SOURCE:
        notebook = _at_commit(project, workspace, folder)
        request = replace(request, project_path=PurePosixPath(".."))
        dependencies: list[str] = []
    else:
        notebook, dependencies = _in_folder(project, workspace, folder, choice, say)
    compute = project.settings.compute
    submission = job.Submission(notebook, choice, compute, dependencies, seconds)
    return job.submit(workspace, request, tree, submission, say)


def _at_commit(project: Project, workspace: Workspace, folder: GitFolder) -> job.Notebook:
    """Return the project's own notebook at the Git folder's commit, which installs the requirements."""
    if project.syncs_files:
        raise SettingsError(
            "With code.sync: files no commit holds what shall run.",
            hint="Set code.job_source to git_folder, or code.sync to git.",
        )
    sha = folder.sha or ""
    source = code.source(project.repository, project.settings.code)
    code.refuse_unreachable(source, workspace)
    project_notebook.require(project.repository, sha)
    git_source = project_notebook.git_source(source, commit=sha)
    return job.Notebook(project_notebook.path_in_repository(project.repository), git_source)


def _in_folder(
    project: Project, workspace: Workspace, folder: GitFolder, choice: Choice, say: Callable[[str], None]
) -> tuple[job.Notebook, list[str]]:
    """Return a notebook of ours for the project's folder, and what a serverless environment needs for it."""
    compute = project.settings.compute
    requirements = project.requirements(workspace, folder)
    name = settings.project_name(project.metadata.package_name)
    if requirements is None:
        return job.Notebook(job_notebook.place(workspace, name, ())), []
    if choice.compute == "serverless":
        fitting = serverless.dependencies(requirements, compute.environment_version)
        installation.tell(fitting, requirements, say)
        if compute.pip_options:
            warn(
                "compute.pip_options do not reach serverless compute: its workspace settings name the index."
            )
        return job.Notebook(job_notebook.place(workspace, name, ())), fitting.lines or []
    fitting = fit(requirements, _runtime(project, workspace, choice))
    installation.tell(fitting, requirements, say)
    cells = installation.cells(requirements, fitting)
    return job.Notebook(job_notebook.place(workspace, name, cells)), []


def _runtime(project: Project, workspace: Workspace, choice: Choice) -> str:
    """Return the runtime of a cluster that is there, or of the one that the job makes."""
    if choice.cluster:
        return cluster.details(workspace, choice.cluster).runtime
    return str((project.settings.compute.job_cluster or {}).get("spark_version", ""))
