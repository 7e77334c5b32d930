"""Choose the data root, the code's folder and the compute by what a workspace supports."""

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
from kedro_databricks_hybrid.transfer.trees.protocol import base_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.project.scaffold import Change

_HOME = "/Workspace/Users/{user}/{project}"


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Args:
        did: The line to print when it is done.
        would: The lines that --dry-run prints: the changes to a file, or the API call.
        do: Does it.
    """

    did: str
    would: str
    do: Callable[[], object]


@dataclass(frozen=True)
class RootOptions:
    """The command line's options for the data root.

    Args:
        root: The data root of --data-root or --volume.
        yes: Use the default data root without asking.
    """

    root: str | None = None
    yes: bool = False


@dataclass(frozen=True)
class Layout:
    """The choice.

    Args:
        project: The project with the chosen settings.
        values: The settings that databricks.yml lacks: `<section>.<key>` and value.
        steps: Create the data root.
    """

    project: ProjectOnWorkspace
    values: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def check_root(self) -> None:
        """Check that the data root can be used.

        Raises:
            HybridError: It cannot; the hint names the option that sets another one.
        """
        self.project.data_tree.check()


def choose(project: ProjectOnWorkspace, source: Source | None, options: RootOptions) -> Layout:
    """Choose the data root, the code's folder and the compute, each unless the settings contain it.

    Args:
        project: The project.
        source: The remote of the Git folder; None if the project has no Git folder.
        options: The command line's options.

    Raises:
        HybridError: No data root can be chosen.
    """
    workspace = project.workspace
    catalog = data_root.default_catalog(workspace)
    chosen = _choose_root(project, catalog, options)
    values, project = dict(chosen.values), chosen.project
    given = project.settings
    if source and not settings.is_given(project.conf, project.env, "code.folder"):
        folder = given.code.folder if catalog is None else _code_folder(project, source)
        values["code.folder"] = folder
        project = replace(project, settings=replace(given, code=replace(given.code, folder=folder)))
    compute = given.compute
    on_volume = data_root.volume_of(project.data_root) is not None
    if on_volume and not compute.cluster and not compute.job_cluster and not clusters.visible(workspace):
        say(f"{clusters.NONE_VISIBLE}: runs will use serverless compute.")
        values["compute.cluster"] = clusters.SERVERLESS
    return Layout(project, values, chosen.steps)


def with_data_root(project: ProjectOnWorkspace) -> ProjectOnWorkspace:
    """Return the project with a data root; if it has none, ask for it at a terminal, as init does.

    Raises:
        SettingsError: It was written to databricks.yml, which must be committed before the code can run.
    """
    is_written_by_init = project.env in {None, settings.DATABRICKS_ENV}
    if project.settings.data.root is not None or not sys.stdin.isatty() or not is_written_by_init:
        return project
    source = None if project.syncs_files else git_source.source(project.repository, project.settings.code)
    chosen = choose(project, source, RootOptions())
    for step in chosen.steps:
        step.do()
        say(step.did)
    chosen.check_root()
    path = project.metadata.project_path
    changes = [each for each in scaffold.settings_changes(project, chosen.values) if each.said]
    for step in (file_step(path, change) for change in changes):
        step.do()
        say(step.did)
    if project.syncs_files:
        return chosen.project
    raise SettingsError(
        "databricks.yml now sets the data root, but only commits reach Databricks.",
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


def parse_root(given: str) -> str:
    """Return a data root from the command line in the form that databricks.yml contains.

    Args:
        given: The data root, or the full name of a volume.

    Raises:
        click.UsageError: It is neither.
    """
    try:
        root = given if given.startswith(("/", "dbfs:")) else data_root.in_volume(given)
        settings.check("data.root", root, where="The data root")
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    return root


def _choose_root(project: ProjectOnWorkspace, catalog: str | None, options: RootOptions) -> Layout:
    """Choose only the data root; `catalog` is the default catalog, None without Unity Catalog."""
    workspace, before = project.workspace, project.settings.data.root
    root = options.root or before or _default_root(project, catalog, options)
    data = replace(project.settings.data, root=root)
    project = replace(project, settings=replace(project.settings, data=data))
    values = {} if root == before else {"data.root": root}
    volume = data_root.volume_of(project.data_root)
    if volume is None or data_root.volume_exists(workspace, volume):
        return Layout(project, values)
    call = f"Would call POST /api/2.1/unity-catalog/volumes for {volume}"
    create = Step(f"Created the volume {volume}", call, partial(data_root.create_volume, workspace, volume))
    return Layout(project, values, [create])


def _default_root(project: ProjectOnWorkspace, catalog: str | None, options: RootOptions) -> str:
    if catalog is None:
        on_dbfs = str(base_path(project.filled(data_root.ON_DBFS)))
        if data_root.dbfs_is_enabled(project.workspace, on_dbfs):
            return data_root.ON_DBFS
        reason, proposal = "The workspace has no Unity Catalog, and its DBFS root is disabled", None
    else:
        name = settings.project_name(project.metadata.package_name)
        reason, proposal = "The data need a volume", data_root.proposed(catalog, name)
    if proposal and options.yes:
        return proposal
    if sys.stdin.isatty() and not options.yes:
        shown = "Data root on Databricks, or a volume (catalog.schema.volume)"
        return str(click.prompt(shown, default=proposal, value_proc=parse_root, err=True))
    hint = f"Use --yes for {proposal}, or name" if proposal else "Name"
    raise SettingsError(
        f"{reason}.",
        hint=f"{hint} one with --volume=<catalog>.<schema>.<volume>: "
        f"`kedro databricks init{' --yes' if proposal else ''}{project.workspace.flags}`.",
    )


def _code_folder(project: ProjectOnWorkspace, source: Source) -> str:
    """Return the user's home folder, or the guide's path if this repository's Git folder exists there."""
    path = project.git_folder
    try:
        found = git_folder.find(project.workspace, path)
        if found is None:
            return _HOME
        git_source.refuse_other_repository(found, source)
    except HybridError:
        return _HOME
    say(f"{path} is already a Git folder of this repository, so the code stays there.")
    return project.settings.code.folder
