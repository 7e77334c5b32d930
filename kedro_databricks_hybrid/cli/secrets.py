"""`kedro databricks secrets`: keep what the project's credentials need in its secret scope."""

from __future__ import annotations

import difflib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.options import (
    Command,
    Group,
    catalog_options,
    env_option,
    json_option,
    profile_option,
    say,
    say_json,
    warn,
)
from kedro_databricks_hybrid.cli.output import first_names, print_table
from kedro_databricks_hybrid.databricks.secret_names import key_of
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import HybridError, NotFoundError, SettingsError
from kedro_databricks_hybrid.project import needed_secrets
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.transfer.plan import local_time

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.secret_scope import SecretScope
    from kedro_databricks_hybrid.project.needed_secrets import NeededSecret
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace


@click.group(cls=Group)
def secrets() -> None:
    """Set, push and list the secrets that the project's credentials need on Databricks."""


@secrets.command("set", cls=Command)
@click.argument("name")
@profile_option
@env_option
@click.option("--from-stdin", is_flag=True, help="Read the value from standard input.")
@click.pass_obj
def set_(
    metadata: ProjectMetadata, name: str, profile: str | None, env: str | None, from_stdin: bool
) -> None:
    """Set the secret NAME, for ${oc.env:NAME} in credentials.yml.

    The value is that of the environment variable NAME. Without it, a terminal asks for the value.
    """
    project = open_project(metadata, env).on(connect(profile, warn))
    key_of(project.secret_scope.project, name)
    _put(project.secret_scope, {name: _value(name, from_stdin=from_stdin)})


@secrets.command(cls=Command)
@profile_option
@env_option
@catalog_options
@click.option("--from-local", is_flag=True, help="Also push entries of conf/local/credentials.yml.")
@click.option("--yes", is_flag=True, help="Push without asking.")
@click.pass_obj
def push(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
    from_local: bool,
    yes: bool,
) -> None:
    """Push all secrets that the project's credentials need and this machine has, after asking.

    Variables of ${oc.env:} are taken from the environment.
    """
    project = open_project(metadata, env).on(connect(profile, warn))
    needed = needed_secrets.needed_secrets(project, project.catalog(params, pipelines))
    values = {each.name: os.environ[each.name] for each in needed if os.environ.get(each.name)}
    if from_local and any(each.entry for each in needed):
        entries = _local_entries(project)
        values |= {each.name: entries[each.entry] for each in needed if each.entry in entries}
    scope = project.secret_scope
    known = scope.listed()
    lacking = [each for each in needed if each.name not in {*values, *known} and not each.is_optional]
    local = [each for each in lacking if each.entry and each.is_here and not from_local]
    if local:
        warn(f"Not pushed without --from-local: {first_names(local)}.")
    if elsewhere := [each for each in lacking if each not in local]:
        warn(f"This machine does not have {first_names(elsewhere)}.")
    if not values:
        say(f"There is nothing to push to the secret scope {scope.name}.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError(
                f"This would push {', '.join(values)} to {scope.name}.", hint="Confirm with --yes."
            )
        click.confirm(f"Push {', '.join(values)} to the secret scope {scope.name}?", abort=True)
    _put(scope, values)


@secrets.command(cls=Command)
@profile_option
@env_option
@catalog_options
@json_option
@click.pass_obj
def ls(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
    as_json: bool,
) -> None:
    """List the project's secrets: name, when it was set, and the datasets that need it; never a value."""
    project = open_project(metadata, env).on(connect(profile, warn))
    scope = project.secret_scope
    listed = scope.listed()
    needed: list[NeededSecret] = []
    try:
        needed = needed_secrets.needed_secrets(project, project.catalog(params, pipelines))
    except HybridError as error:
        warn(f"What the secrets are for is unknown. {error.message}")
    used = {each.name: list(each.datasets) for each in needed}
    names = [*listed, *(each.name for each in needed if each.name not in listed and not each.is_optional)]
    if as_json:
        say_json([
            {"name": name, "set": listed.get(name), "datasets": used.get(name, [])} for name in names
        ])  # fmt: skip
    elif not names:
        say(f"The secret scope {scope.name} has no secrets of this project, and it needs none.")
    else:
        rows = [
            [
                name,
                local_time(listed[name]) if name in listed else "missing",
                ", ".join(used.get(name, [])) or "-",
            ]
            for name in names
        ]
        print_table(["secret", "set", "used by"], rows)


@secrets.command(cls=Command)
@click.argument("names", nargs=-1, required=True)
@profile_option
@env_option
@click.pass_obj
def rm(metadata: ProjectMetadata, names: tuple[str, ...], profile: str | None, env: str | None) -> None:
    """Delete secrets of the project by their names in `secrets ls`."""
    scope = open_project(metadata, env).on(connect(profile, warn)).secret_scope
    known = scope.listed()
    if unknown := [name for name in names if name not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise NotFoundError(
            f"The secret scope {scope.name} has no secret {', '.join(unknown)} of this project.",
            hint=f"Did you mean {near[0]}?" if near else "`kedro databricks secrets ls` lists them.",
        )
    for name in names:
        scope.remove(name)
        say(f"Deleted {name} from the secret scope {scope.name}.")


def _value(name: str, *, from_stdin: bool) -> str:
    """Return the value for a secret, which no argument contains: other users could read those."""
    value = os.environ.get(name)
    if from_stdin:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif value is None and sys.stdin.isatty():
        value = click.prompt(f"Value of {name}", hide_input=True)
    if not value:
        raise SettingsError(
            f"There is no value for {name}.",
            hint=f"Set the environment variable {name}, or pipe the value to this command with --from-stdin.",
        )
    return value


def _put(scope: SecretScope, values: dict[str, str]) -> None:
    if scope.make():
        say(f"Created the secret scope {scope.name}.")
    for name, value in values.items():
        scope.put(name, value)
        say(f"Set {name} in the secret scope {scope.name}.")


def _local_entries(project: ProjectOnWorkspace) -> dict[str, str]:
    try:
        return needed_secrets.local_entries(project)
    except HybridError:
        raise
    except Exception as error:  # resolvers, YAML and the project's config loader may raise anything
        first = str(error).partition("\n")[0]
        message = f"{project.conf_name}/local/credentials.yml cannot be read: {type(error).__name__}: {first}"
        raise SettingsError(message) from error
