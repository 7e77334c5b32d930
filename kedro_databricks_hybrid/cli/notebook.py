"""`kedro databricks notebook`: the guide's four cells for this project, and where to open them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import Command, env_option, profile_option, say, warn
from kedro_databricks_hybrid.databricks.workspace import connect, translated
from kedro_databricks_hybrid.errors import HybridError, NotFoundError, SettingsError
from kedro_databricks_hybrid.project import notebook as project_notebook
from kedro_databricks_hybrid.project import scaffold
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.project.requirements import local_requirements

if TYPE_CHECKING:
    from pathlib import Path

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--ipynb", is_flag=True, help="Write a Jupyter notebook instead of Databricks' source format.")
@click.option("--force", is_flag=True, help="Write it anew, even if somebody has edited it.")
@click.pass_obj
def notebook(
    metadata: ProjectMetadata, profile: str | None, env: str | None, ipynb: bool, force: bool
) -> None:
    """Write the notebook that runs this project on Databricks, and print its address.

    The guide's four cells: install the requirements, load Kedro's extension, load the project, run it. Its
    paths are relative to itself, so it works in every Git folder of the project. Jobs can run it too.
    """
    project = open_project(metadata, env)
    path, other = project_notebook.PATH, project_notebook.JUPYTER_PATH
    if ipynb:
        path, other = other, path
    root = metadata.project_path
    if (root / other).exists():
        raise SettingsError(
            f"{other} is there already, and Databricks knows {project_notebook.NAME} by one form only.",
            hint=f"Delete {other} first, or leave {'out --ipynb' if ipynb else 'it and add --ipynb'}.",
        )
    content = content_for(project)
    say(_written(root / path, path, content.as_jupyter() if ipynb else content.as_source(), force=force))
    if not content.takes_jobs:
        warn(f"Jobs cannot run it: add {scaffold.DISTRIBUTION} to the project's requirements.")
    try:
        workspace = connect(profile)
    except HybridError as error:
        warn(f"Its address is not known without a login. {error}")
        return
    _tell_address(project, workspace)


def content_for(project: Project) -> project_notebook.Content:
    """Return what the notebook of this project says."""
    root = project.metadata.project_path
    found = local_requirements(root)
    file = str(found.path) if found and found.is_for_pip else None
    ready = bool(found and scaffold.is_required(found)) or scaffold.uses_our_loader()
    return project_notebook.Content(file, project.env, takes_jobs=ready)


def _written(file: Path, path: str, text: str, *, force: bool) -> str:
    before = file.read_text("utf-8", "replace") if file.exists() else None
    if before == text:
        return f"{path} is as it should be."
    if before is not None and not force:
        return f"{path} is there already and differs; it is left as it is (--force writes it anew)."
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return f"Wrote {path}"


def _tell_address(project: Project, workspace: Workspace) -> None:
    place = project.folder(workspace) / project_notebook.NAME
    try:
        with translated(f"look for the notebook {place}"):
            number = workspace.client.workspace.get_status(str(place)).object_id
    except NotFoundError:
        say(f"It will be at {workspace.host}/#workspace{str(place).removeprefix('/Workspace')}")
        say(f"Next: commit it, then kedro databricks push{workspace.flags}")
        return
    say(f"Open it at {workspace.host}/#notebook/{number}")
    say(f"It lies at {workspace.host}/#workspace{str(place).removeprefix('/Workspace')}")
