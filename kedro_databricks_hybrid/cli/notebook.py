"""`kedro databricks notebook`: write the notebook that runs this project, and print its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import Command, env_option, profile_option, say, warn
from kedro_databricks_hybrid.databricks.workspace import connect, translated
from kedro_databricks_hybrid.errors import HybridError, NotFoundError, SettingsError
from kedro_databricks_hybrid.project import notebook as project_notebook
from kedro_databricks_hybrid.project import scaffold
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, local_requirements

if TYPE_CHECKING:
    from pathlib import Path

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--ipynb", is_flag=True, help="Write a Jupyter notebook instead of Databricks' source format.")
@click.option("--force", is_flag=True, help="Overwrite the notebook, even if it was edited.")
@click.pass_obj
def notebook(
    metadata: ProjectMetadata, profile: str | None, env: str | None, ipynb: bool, force: bool
) -> None:
    """Write the notebook that runs this project on Databricks, and print its address.

    Its four cells are those of Kedro's guide: install the requirements, load Kedro's extension, load the
    project, run it. Paths are relative to the notebook, so it works in every Git folder of the project. Jobs
    can run it too.
    """
    project = open_project(metadata, env)
    path, other = project_notebook.PATH, project_notebook.JUPYTER_PATH
    if ipynb:
        path, other = other, path
    root = metadata.project_path
    if (root / other).exists():
        raise SettingsError(
            f"{other} already exists, and Databricks shows both files as {project_notebook.NAME}.",
            hint=f"Delete {other}, or run the command {'without' if ipynb else 'with'} --ipynb.",
        )
    content = content_for(project)
    say(_write(root / path, path, content.as_jupyter() if ipynb else content.as_source(), force=force))
    if not content.takes_jobs:
        warn(f"Jobs cannot run it: add {DISTRIBUTION} to the project's requirements.")
    try:
        workspace = connect(profile, warn)
    except HybridError as error:
        warn(f"Without a login the notebook's address is unknown. {error}")
        return
    _say_address(project.on(workspace))


def content_for(project: Project) -> project_notebook.Content:
    """Return the content of this project's notebook."""
    root = project.metadata.project_path
    found = local_requirements(root)
    file = str(found.path) if found and found.is_for_pip else None
    ready = bool(found and scaffold.is_required(found)) or scaffold.uses_our_loader(
        project.metadata.package_name
    )
    return project_notebook.Content(file, project.env, takes_jobs=ready)


def _write(file: Path, path: str, text: str, *, force: bool) -> str:
    before = file.read_text("utf-8", "replace") if file.exists() else None
    if before == text:
        return f"{path} is up to date."
    if before is not None and not force:
        return f"{path} was edited, so it is left unchanged (--force overwrites it)."
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return f"Wrote {path}"


def _say_address(project: ProjectOnWorkspace) -> None:
    workspace, path = project.workspace, project.folder / project_notebook.NAME
    address = f"{workspace.host}/#workspace{str(path).removeprefix('/Workspace')}"
    try:
        with translated(f"look for the notebook {path}"):
            number = workspace.client.workspace.get_status(str(path)).object_id
    except NotFoundError:
        say(f"It will be at {address}")
        say(f"Next: commit it, then kedro databricks push{workspace.flags}")
        return
    say(f"Open it at {workspace.host}/#notebook/{number}")
    say(f"In the workspace browser: {address}")
