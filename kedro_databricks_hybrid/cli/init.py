"""`kedro databricks init`: prepare a project and its Git folder on Databricks."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import Command, json_option, profile_option, say, say_json, warn
from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import LoginError, SettingsError
from kedro_databricks_hybrid.git.repository import is_local
from kedro_databricks_hybrid.project import data_root, git_source, scaffold, settings
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.project.scaffold import Change


@dataclass(frozen=True)
class Step:
    """One thing that init does.

    Args:
        did: The line to print when it is done.
        would: The lines that --dry-run prints: the changes to a file, or the API call.
        do: Does it.
    """

    did: str
    would: str
    do: Callable[[], object]


@click.command(cls=Command)
@profile_option
@click.option(
    "--git-token-env",
    metavar="VARIABLE",
    help="Environment variable with your Git provider's token; without it a terminal asks if needed.",
)
@click.option("--git-user", metavar="NAME", help="Your name at the Git provider, if it requires one.")
@click.option(
    "--volume", metavar="CATALOG.SCHEMA.VOLUME", help="Volume for the data; created if it does not exist."
)
@click.option("--dry-run", is_flag=True, help="Print every file and API call, and do nothing.")
@json_option
@click.pass_obj
def init(
    metadata: ProjectMetadata,
    profile: str | None,
    git_token_env: str | None,
    git_user: str | None,
    volume: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Prepare a project and its Git folder on Databricks.

    Writes the files that the project lacks, sets the config loader in settings.py, registers your Git
    provider's token with Databricks, and clones the remote into the Git folder. Existing files, credentials
    and folders are left unchanged.
    """
    project = open_project(metadata, None)
    source = git_source.source(project.repository, project.settings.code)
    workspace = connect(profile)
    git_source.refuse_unreachable(source, workspace)
    say(f"Logged in to {workspace.host} as {workspace.user}")
    root, steps = _choose_root(project, workspace, volume)
    plan = scaffold.plan(metadata.project_path, metadata.package_name, project.repository, root)
    files = [_file_step(metadata.project_path, change) for change in plan.changes]
    steps += (
        files
        + _credential_steps(workspace, source, git_token_env, git_user)
        + _folder_steps(project, workspace, source)
    )
    for step in steps:
        if not dry_run:
            step.do()
        say(step.would if dry_run else step.did)
    for instruction in plan.instructions:
        warn(instruction)
    if dry_run:
        say("Nothing was done." if steps else "There is nothing to do.")
    elif not steps:
        say("Everything is already prepared; nothing was changed.")
    else:
        commit = "commit these files, then " if files else ""
        say(f"Next: {commit}kedro databricks push{workspace.flags}")
    if as_json:
        said = [step.would if dry_run else step.did for step in steps]
        say_json({"dry_run": dry_run, "steps": said, "instructions": plan.instructions})


def _choose_root(project: Project, workspace: Workspace, volume: str | None) -> tuple[str, list[Step]]:
    """Return the data root for new settings and the steps that create it; existing settings are kept."""
    path = project.metadata.project_path
    if (path / "conf" / settings.DATABRICKS_ENV / settings.FILE_NAME).exists():
        if volume:
            warn(f"--volume has no effect: the data root is already {project.settings.data.root}.")
        return project.settings.data.root, []
    if volume is None and data_root.dbfs_is_enabled(workspace):
        return data_root.on_dbfs(), []
    if volume is None and sys.stdin.isatty():
        volume = click.prompt("The DBFS root is disabled. Volume for the data (catalog.schema.volume)")
    if volume is None:
        raise SettingsError(
            "The DBFS root is disabled in this workspace, so the data need a volume.",
            hint="Name one with --volume=<catalog>.<schema>.<volume>; it is created if it does not exist.",
        )
    root = data_root.in_volume(volume)
    if data_root.volume_exists(workspace, volume):
        return root, []
    call = f"Would call POST /api/2.1/unity-catalog/volumes for {volume}"
    made = partial(data_root.create_volume, workspace, volume)
    return root, [Step(f"Created the volume {volume}", call, made)]


def _file_step(project_path: Path, change: Change) -> Step:
    path = project_path / change.path
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    diff = difflib.unified_diff(before.splitlines(), change.text.splitlines(), lineterm="", n=1)
    shown = "\n".join(f"    {line}" for line in list(diff)[2:])
    return Step(
        f"{change.what} {change.path}",
        f"Would {'edit' if change.what == 'Edited' else 'write'} {change.path}:\n{shown}",
        partial(scaffold.write, project_path, change),
    )


def _folder_steps(project: Project, workspace: Workspace, source: Source) -> list[Step]:
    path = project.on(workspace).git_folder
    found = git_folder.find(workspace, path)
    if found:
        git_source.refuse_other_repository(found, source)
        say(f"The Git folder {path} already exists.")
        return []
    call = f"Would call POST /api/2.0/workspace/mkdirs for {path.parent}"
    return [
        Step(
            f"Created the Git folder {path} from {source.shown_url}",
            f"{call}\nWould call POST /api/2.0/repos for {path} from {source.shown_url} ({source.provider})",
            partial(git_folder.create, workspace, path, url=source.url, provider=source.provider),
        )
    ]


def _credential_steps(
    workspace: Workspace, source: Source, variable: str | None, user: str | None
) -> list[Step]:
    if is_local(source.url):
        return []
    present = git_folder.find_credential(workspace, source.provider)
    if variable:
        token = os.environ.get(variable)
        if not token:
            raise LoginError(f"The environment variable {variable} is not set.", hint="Set it to the token.")
    elif present:
        say(f"A Git credential for {source.provider} is already registered.")
        return []
    elif sys.stdin.isatty():
        if user is None and source.provider in git_folder.PROVIDERS_NEEDING_A_NAME:
            user = click.prompt(f"Your name at {source.shown_url}")
        token = click.prompt(f"Token for {source.shown_url}", hide_input=True)
    else:
        warn(
            f"No Git credential for {source.provider} is registered; a private repository needs one: "
            "to register one, run this command with --git-token-env=VARIABLE."
        )
        return []
    verb, call = ("Updated", f"PATCH /api/2.0/git-credentials/{present}") if present else (
        "Registered", "POST /api/2.0/git-credentials"
    )  # fmt: skip
    return [
        Step(
            f"{verb} the Git credential for {source.provider}",
            f"Would call {call} for {source.provider}",
            partial(git_folder.register_credential, workspace, source.provider, user, token),
        )
    ]
