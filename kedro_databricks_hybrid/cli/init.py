"""`kedro databricks init`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import code, git, git_credential, git_folder, project_files
from kedro_databricks_hybrid.cli.command import Command, profile_option, say, warn
from kedro_databricks_hybrid.cli.project import open_project
from kedro_databricks_hybrid.errors import LoginError
from kedro_databricks_hybrid.workspace import connect

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.code import Source
    from kedro_databricks_hybrid.workspace import Workspace


@click.command(cls=Command)
@profile_option
@click.option(
    "--git-token-env",
    metavar="VARIABLE",
    help="Environment variable that holds your Git provider's token; asked for on a terminal if needed.",
)
@click.option("--git-user", metavar="NAME", help="Your name at the Git provider, where it wants one.")
@click.pass_obj
def init(
    metadata: ProjectMetadata, profile: str | None, git_token_env: str | None, git_user: str | None
) -> None:
    """Prepare a project and its Git folder on Databricks.

    Writes the settings files that the project lacks, registers your Git provider's token with Databricks, and
    clones the remote into the Git folder. What is there already is left as it is.
    """
    for written in project_files.write_missing(metadata.project_path):
        say(f"Wrote {written}")
    if not project_files.uses_our_loader():
        warn(f"Add to src/{metadata.package_name}/settings.py: {project_files.LOADER_LINES}")
    project = open_project(metadata, None)
    source = code.source(project.repository, project.settings.code)
    workspace = connect(profile)
    code.refuse_unreachable(source, workspace)
    say(f"Logged in to {workspace.host} as {workspace.user}")
    if not git.is_local(source.url):
        _register_credential(workspace, source, git_token_env, git_user)
    path = project.git_folder(workspace)
    if git_folder.find(workspace, path):
        say(f"The Git folder {path} is there already.")
    else:
        git_folder.create(workspace, path, url=source.url, provider=source.provider)
        say(f"Created the Git folder {path} from {source.shown_url}")
    say(f"Next: kedro databricks push{workspace.flags}")


def _register_credential(
    workspace: Workspace, source: Source, variable: str | None, user: str | None
) -> None:
    present = git_credential.find(workspace, source.provider) is not None
    if variable:
        token = os.environ.get(variable)
        if not token:
            raise LoginError(
                f"The environment variable {variable} is not set.", hint="Put the token into it."
            )
    elif present:
        say(f"A Git credential for {source.provider} is registered already.")
        return
    elif sys.stdin.isatty():
        token = click.prompt(f"Token for {source.shown_url}", hide_input=True)
    else:
        warn(
            f"No Git credential for {source.provider} is registered; a private repository needs one: "
            "run this with --git-token-env=VARIABLE."
        )
        return
    done = git_credential.register(workspace, source.provider, user, token)
    say(f"Git credential for {source.provider} {done}")
