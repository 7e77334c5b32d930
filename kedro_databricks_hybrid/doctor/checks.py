"""Run all checks; those that wait for an answer run at the same time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.doctor import machine
from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor import workspace as of_workspace
from kedro_databricks_hybrid.doctor.finding import Finding, refused
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.parallel import start

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from concurrent.futures import Future

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace

    Check = Callable[[], Finding | list[Finding]]


def examine(
    metadata: ProjectMetadata,
    open_project: Callable[[], Project],
    log_in: Callable[[], Workspace],
    params: Mapping[str, Any],
    pipelines: Collection[str],
) -> list[Finding]:
    """Run every check.

    Args:
        metadata: Kedro's description of the project.
        open_project: Opens the project; may raise a HybridError.
        log_in: Connects to the workspace; may raise a HybridError.
        params: The parameters of `--params`, for the catalog.
        pipelines: The pipelines whose inputs are checked; none means all.

    Returns:
        The findings, in the order in which a new user fixes them.
    """
    logging_in = start(log_in)
    project, broken = _opened(open_project)  # first, as it imports the project's settings
    groups = [_start(_of_machine(metadata, project))]
    if project:
        groups.append(_start(_of_project(project)))
    workspace, no_login = _logged_in(logging_in)
    host = workspace.host if workspace else None
    groups[0] += _start({"proxy": lambda: machine.proxies(host)})
    if workspace:
        groups.append(_start(_of_workspace(workspace)))
        if project:
            groups.append(_start(_of_both(project.on(workspace))))
    data: list[Finding] = []
    if workspace and project:  # it imports the project: not in a thread
        on_workspace = project.on(workspace)
        data = _checked("inputs", lambda: of_project.inputs(on_workspace, params, pipelines))
    found = [future.result() for group in groups for future in group]
    return [*broken, *no_login, *(finding for findings in found for finding in findings), *data]


def _of_machine(metadata: ProjectMetadata, project: Project | None) -> dict[str, Check]:
    project_path = metadata.project_path
    return {
        "versions": machine.versions,
        "Java": machine.spark_and_java,
        "sandbox": machine.sandbox_kernels,
        "telemetry": lambda: machine.telemetry(project_path),
        "settings.py": lambda: of_project.config_loader(metadata.package_name, project),
        "requirements": lambda: of_project.requirements(project_path),
    }


def _of_project(project: Project) -> dict[str, Check]:
    return {
        "Git remote": lambda: of_project.remote(project),
        "Git contents": lambda: of_project.contents(project),
        "catalog": lambda: of_project.old_paths(project),
    }


def _of_workspace(workspace: Workspace) -> dict[str, Check]:
    return {
        "login": lambda: of_workspace.login(workspace),
        "clock": lambda: of_workspace.clock(workspace),
        "token": lambda: of_workspace.token(workspace),
    }


def _of_both(project: ProjectOnWorkspace) -> dict[str, Check]:
    return {
        "Git credential": lambda: of_workspace.credential(project),
        "Git folder": lambda: of_workspace.folder(project),
        "cluster": lambda: of_workspace.compute(project),
        "data root": lambda: of_workspace.data_root(project),
    }


def _start(checks: dict[str, Check]) -> list[Future[list[Finding]]]:
    return [start(partial(_checked, name, check)) for name, check in checks.items()]


def _checked(name: str, check: Check) -> list[Finding]:
    try:
        found = check()
    except HybridError as error:
        return [refused(name, error)]
    return found if isinstance(found, list) else [found]


def _opened(open_project: Callable[[], Project]) -> tuple[Project | None, list[Finding]]:
    try:
        return open_project(), []
    except HybridError as error:
        return None, [refused("project", error)]


def _logged_in(logging_in: Future[Workspace]) -> tuple[Workspace | None, list[Finding]]:
    try:
        return logging_in.result(), []
    except HybridError as error:
        return None, [refused("login", error)]
