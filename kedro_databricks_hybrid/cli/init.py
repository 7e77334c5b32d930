"""`kedro databricks init`."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli import layout
from kedro_databricks_hybrid.cli.layout import Asked, Step
from kedro_databricks_hybrid.cli.options import Command, json_option, profile_option, say, say_json, warn
from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import LoginError
from kedro_databricks_hybrid.git.repository import is_local
from kedro_databricks_hybrid.project import git_source, scaffold
from kedro_databricks_hybrid.project.project import open_project

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import Project


@click.command(cls=Command)
@profile_option
@click.option(
    "--git-token-env",
    metavar="VARIABLE",
    help="Environment variable that holds your Git provider's token; asked for on a terminal if needed.",
)
@click.option("--git-user", metavar="NAME", help="Your name at the Git provider, where it wants one.")
@click.option(
    "--volume", metavar="CATALOG.SCHEMA.VOLUME", help="Volume for the data; created if it is missing."
)
@click.option(
    "--data-root",
    metavar="PATH",
    help="Where the data go: dbfs:/... or /Volumes/..., also in place of what is set.",
)
@click.option("--yes", "-y", is_flag=True, help="Take every default without a question.")
@click.option("--dry-run", is_flag=True, help="Show every file and call, and do nothing.")
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

    Finds out what the workspace offers: with Unity Catalog the data go to a volume, which is created, and the
    code to your home folder; without, both go where Kedro's guide has them. Writes the files that the project
    lacks, has settings.py use the configuration loader, registers your Git provider's token with Databricks,
    and clones the remote into the Git folder. What is there already is left as it is, unless an option says
    otherwise.
    """
    if volume and data_root:
        raise click.UsageError("--volume and --data-root exclude each other.")
    given = volume or data_root
    asked = Asked(layout.as_root(given) if given else None, yes)
    project = open_project(metadata, None)
    source = git_source.source(project.repository, project.settings.code)
    workspace = connect(profile)
    git_source.refuse_unreachable(source, workspace)
    say(f"Logged in to {workspace.host} as {workspace.user}")
    found = layout.work_out(project, workspace, source, asked)
    project = found.project
    plan = scaffold.plan(metadata.project_path, metadata.package_name, project.repository, found.values)
    files = [layout.file_step(metadata.project_path, change) for change in plan.changes]
    credential = _credential_steps(workspace, source, git_token_env, git_user)
    steps = [*found.steps, *files, *credential, *_folder_steps(project, workspace, source)]
    _take(found.steps, dry_run=dry_run)
    if not (dry_run and found.steps):
        found.check_root(workspace)
    _take(steps[len(found.steps) :], dry_run=dry_run)
    for instruction in plan.instructions:
        warn(instruction)
    if dry_run:
        say("Nothing was done." if steps else "There is nothing to do.")
    elif not steps:
        say("Everything is prepared already; nothing was changed.")
    else:
        commit = "commit these files, then " if files else ""
        say(f"Next: {commit}kedro databricks push{workspace.flags}")
    if as_json:
        said = [step.would if dry_run else step.did for step in steps]
        say_json({"dry_run": dry_run, "steps": said, "instructions": plan.instructions})


def _take(steps: list[Step], *, dry_run: bool) -> None:
    for step in steps:
        if not dry_run:
            step.do()
        say(step.would if dry_run else step.did)


def _folder_steps(project: Project, workspace: Workspace, source: Source) -> list[Step]:
    path = project.git_folder(workspace)
    found = git_folder.find(workspace, path)
    if found:
        git_source.refuse_other_repository(found, source)
        say(f"The Git folder {path} is there already.")
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
            raise LoginError(
                f"The environment variable {variable} is not set.", hint="Put the token into it."
            )
    elif present:
        say(f"A Git credential for {source.provider} is registered already.")
        return []
    elif sys.stdin.isatty():
        if user is None and source.provider in git_folder.PROVIDERS_NEEDING_A_NAME:
            user = click.prompt(f"Your name at {source.shown_url}")
        token = click.prompt(f"Token for {source.shown_url}", hide_input=True)
    else:
        warn(
            f"No Git credential for {source.provider} is registered; a private repository needs one: "
            "run this with --git-token-env=VARIABLE."
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
