"""`kedro databricks init`: prepare a project and its Git folder on Databricks."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli import layout
from kedro_databricks_hybrid.cli.layout import RootOptions, Step
from kedro_databricks_hybrid.cli.options import (
    Command,
    dry_run_option,
    json_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import LoginError
from kedro_databricks_hybrid.git.remotes import is_local
from kedro_databricks_hybrid.project import git_source, scaffold
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace


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
@click.option(
    "--data-root",
    metavar="PATH",
    help="Data root on Databricks: dbfs:/... or /Volumes/...; replaces the one in the settings.",
)
@click.option("--yes", "-y", is_flag=True, help="Use the default data root without asking.")
@dry_run_option
@json_option
@click.pass_obj
def init(
    metadata: ProjectMetadata,
    profile: str | None,
    git_token_env: str | None,
    git_user: str | None,
    volume: str | None,
    data_root: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Prepare a project, its data root and its Git folder on Databricks.

    Chooses the data root and the folder for the code by what the workspace supports: with Unity Catalog a
    volume, which is created if it does not exist, and your home folder; without it, the paths of Kedro's
    guide. Writes the files that the project lacks, sets the config loader in settings.py, registers your Git
    provider's token with Databricks, and clones the remote into the Git folder. Existing files, credentials
    and folders are left unchanged unless an option changes them.
    """
    if volume and data_root:
        raise click.UsageError("--volume and --data-root exclude each other.")
    given = volume or data_root
    root_options = RootOptions(layout.parse_root(given) if given else None, yes)
    opened = open_project(metadata, None)
    source = git_source.source(opened.repository, opened.settings.code)
    workspace = connect(profile, warn)
    git_source.refuse_unreachable(source, workspace)
    say(f"Logged in to {workspace.host} as {workspace.user}")
    chosen = layout.choose(opened.on(workspace), source, root_options)
    plan = scaffold.plan(opened, chosen.values)
    old_paths = scaffold.old_paths(opened)
    instructions = [*plan.instructions, *(f"In {each}." for each in old_paths)]
    files = [layout.file_step(metadata.project_path, change) for change in plan.changes]
    credential = _credential_steps(workspace, source, git_token_env, git_user)
    others = [*files, *credential, *_folder_steps(chosen.project, source)]
    _perform(chosen.steps, dry_run=dry_run)
    if not (dry_run and chosen.steps):
        chosen.check_root()
    _perform(others, dry_run=dry_run)
    steps = [*chosen.steps, *others]
    for instruction in instructions:
        warn(instruction)
    if dry_run:
        say("Nothing was done." if steps else "There is nothing to do.")
    elif not steps:
        say("Everything is already prepared; nothing was changed.")
    else:
        commit = "git add -A, commit, then " if files else ""
        say(f"Next: {commit}kedro databricks push{workspace.flags}")
    if as_json:
        said = [step.would if dry_run else step.did for step in steps]
        say_json({"dry_run": dry_run, "steps": said, "instructions": instructions})


def _perform(steps: list[Step], *, dry_run: bool) -> None:
    for step in steps:
        if not dry_run:
            step.do()
        say(step.would if dry_run else step.did)


def _folder_steps(project: ProjectOnWorkspace, source: Source) -> list[Step]:
    workspace, path = project.workspace, project.git_folder
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
            partial(git_source.folder_for, workspace, path, source),
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
            user = click.prompt(f"Your name at {source.shown_url}", err=True)
        token = click.prompt(f"Token for {source.shown_url}", hide_input=True, err=True)
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
