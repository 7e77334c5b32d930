"""Where code and data go, and what runs them, worked out from what a workspace offers."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import say
from kedro_databricks_hybrid.databricks import clusters, git_folder
from kedro_databricks_hybrid.errors import HybridError, SettingsError
from kedro_databricks_hybrid.project import data_root, git_source, scaffold, settings
from kedro_databricks_hybrid.transfer.trees.open import open_tree
from kedro_databricks_hybrid.transfer.trees.protocol import base_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.project.scaffold import Change

_HOME = "/Workspace/Users/{user}/{project}"


@dataclass(frozen=True)
class Step:
    """One thing that is done.

    Args:
        did: What to say once it is done.
        would: What --dry-run says: the file with its text, or the call.
        do: Does it.
    """

    did: str
    would: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Asked:
    """What the command line says of the data root.

    Args:
        root: The data root, as --data-root or --volume give it.
        yes: Whether to take the default one without a question.
    """

    root: str | None = None
    yes: bool = False


@dataclass(frozen=True)
class Layout:
    """What was worked out.

    Args:
        project: The project, with these settings in effect.
        values: The settings that databricks.yml lacks, `<section>.<key>` and value.
        steps: What makes the data root.
    """

    project: Project
    values: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def check_root(self, workspace: Workspace) -> None:
        """Refuse a data root that cannot be used.

        Raises:
            HybridError: It is so; the hint names the option that helps.
        """
        open_tree(workspace, self.project.data_root(workspace)).check()


def work_out(project: Project, workspace: Workspace, source: Source | None, asked: Asked) -> Layout:
    """Work out the data root, the folder of the code and the compute, where the settings do not give them.

    Args:
        project: The project.
        workspace: What it will run on.
        source: What is cloned into the Git folder; None where none is used.
        asked: What the command line says.

    Raises:
        HybridError: There is no data root that could be taken.
    """
    catalog = data_root.default_catalog(workspace)
    found = _root(project, workspace, asked, catalog)
    values, project = dict(found.values), found.project
    path, env, given = project.metadata.project_path, project.env, project.settings
    if source and not settings.is_given(path, env, "code.folder"):
        folder = given.code.folder if catalog is None else _code_folder(project, workspace, source)
        values["code.folder"] = folder
        project = replace(project, settings=replace(given, code=replace(given.code, folder=folder)))
    compute = given.compute
    on_volume = data_root.volume_of(project.data_root(workspace)) is not None
    if on_volume and not compute.cluster and not compute.job_cluster and not clusters.visible(workspace):
        say(f"{clusters.NONE_VISIBLE}: runs will use serverless compute.")
        values["compute.cluster"] = clusters.SERVERLESS
    return Layout(project, values, found.steps)


def _root(project: Project, workspace: Workspace, asked: Asked, catalog: str | None) -> Layout:
    """Work out the data root alone; `catalog` is the default one, None without Unity Catalog."""
    before = project.settings.data.root
    root = asked.root or before or _default_root(project, workspace, catalog, asked)
    data = replace(project.settings.data, root=root)
    project = replace(project, settings=replace(project.settings, data=data))
    values = {} if root == before else {"data.root": root}
    volume = data_root.volume_of(project.data_root(workspace))
    if volume is None or data_root.volume_exists(workspace, volume):
        return Layout(project, values)
    call = f"Would call POST /api/2.1/unity-catalog/volumes for {volume}"
    create = Step(f"Created the volume {volume}", call, partial(data_root.create_volume, workspace, volume))
    return Layout(project, values, [create])


def with_root(project: Project, workspace: Workspace) -> Project:
    """Return the project with a data root, which a person is asked for as init does where there is none.

    Raises:
        SettingsError: It is new, and so not in the commit that will run.
    """
    is_ours = project.env in {None, settings.DATABRICKS_ENV}
    if project.settings.data.root is not None or not sys.stdin.isatty() or not is_ours:
        return project
    source = None if project.syncs_files else git_source.source(project.repository, project.settings.code)
    found = work_out(project, workspace, source, Asked())
    for step in found.steps:
        step.do()
        say(step.did)
    found.check_root(workspace)
    path = project.metadata.project_path
    changes = [each for each in scaffold.settings_changes(path, found.values) if each.said]
    for step in (file_step(path, change) for change in changes):
        step.do()
        say(step.did)
    if project.syncs_files:
        return found.project
    raise SettingsError(
        "databricks.yml names the data root now, and Databricks gets commits.",
        hint=f"Commit {' and '.join(each.path for each in changes)}, then run this again.",
    )


def file_step(project_path: Path, change: Change) -> Step:
    """Return the step that writes a file."""
    path = project_path / change.path
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    diff = difflib.unified_diff(before.splitlines(), change.text.splitlines(), lineterm="", n=1)
    shown = "\n".join(f"    {line}" for line in list(diff)[2:])
    said = f": {change.said}" if change.said else ""
    return Step(
        f"{change.what} {change.path}{said}",
        f"Would {'edit' if change.what == 'Edited' else 'write'} {change.path}:\n{shown}",
        partial(scaffold.write, project_path, change),
    )


def _default_root(project: Project, workspace: Workspace, catalog: str | None, asked: Asked) -> str:
    if catalog is None:
        on_dbfs = str(base_path(project.filled(data_root.ON_DBFS, workspace)))
        if data_root.dbfs_is_enabled(workspace, on_dbfs):
            return data_root.ON_DBFS
        why, proposal = "The workspace has no Unity Catalog, and its DBFS root is disabled", None
    else:
        name = settings.project_name(project.metadata.package_name)
        why, proposal = "The data need a volume", data_root.proposed(catalog, name)
    if proposal and asked.yes:
        return proposal
    if sys.stdin.isatty() and not asked.yes:
        shown = "Data root on Databricks, or a volume (catalog.schema.volume)"
        return str(click.prompt(shown, default=proposal, value_proc=as_root))
    hint = f"Take {proposal} with --yes, or name" if proposal else "Name"
    raise SettingsError(
        f"{why}.",
        hint=f"{hint} one with --volume=<catalog>.<schema>.<volume>: "
        f"`kedro databricks init{' --yes' if proposal else ''}{workspace.flags}`.",
    )


def as_root(given: str) -> str:
    """Return a data root that a person gave, as it stands in databricks.yml.

    Args:
        given: The root itself, or the full name of a volume.

    Raises:
        click.UsageError: It is neither.
    """
    try:
        root = given if given.startswith(("/", "dbfs:")) else data_root.in_volume(given)
        settings.check("data.root", root, where="The data root")
    except SettingsError as error:
        raise click.UsageError(error.message) from error
    return root


def _code_folder(project: Project, workspace: Workspace, source: Source) -> str:
    """Return the user's home folder, unless the guide's place has a Git folder of this repository already."""
    before = project.git_folder(workspace)
    try:
        there = git_folder.find(workspace, before)
        if there is None:
            return _HOME
        git_source.refuse_other_repository(there, source)
    except HybridError:
        return _HOME
    say(f"{before} is a Git folder of this repository already, so the code stays there.")
    return project.settings.code.folder
