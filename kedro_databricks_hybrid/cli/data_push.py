"""Push data and print what was done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.options import say, waiting, warn
from kedro_databricks_hybrid.cli.output import (
    describe_unit,
    first_names,
    in_bytes,
    transfer_progress,
    with_count,
)
from kedro_databricks_hybrid.config import catalog_paths
from kedro_databricks_hybrid.databricks.secret_names import command
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.project import datasets, scaffold, unsent_code
from kedro_databricks_hybrid.project.needed_secrets import missing_secrets
from kedro_databricks_hybrid.project.project import in_data
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.plan import OnConflict, describe_sides, units_of
from kedro_databricks_hybrid.transfer.push import Selection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kedro_databricks_hybrid.project.datasets import ProjectCatalog, ProjectData
    from kedro_databricks_hybrid.project.project import DataFolder, ProjectOnWorkspace
    from kedro_databricks_hybrid.transfer.plan import PushPlan

_SHOWN = 5


@dataclass(frozen=True)
class PushOptions:
    """The options of `kedro databricks data push`."""

    paths: Collection[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    pipelines: Collection[str] = ()
    everything: bool = False
    force: bool = False
    theirs: bool = False
    dry_run: bool = False

    @property
    def names_files(self) -> bool:
        """Whether files are chosen instead of datasets."""
        return bool(self.paths) or self.everything


def push_data(project: ProjectOnWorkspace, options: PushOptions) -> dict[str, Any]:
    """Push data, print what was done, and return the same for `--json`."""
    catalog = _catalog(project, options)
    known = catalog.data() if catalog else None
    missing: list[str] = []
    if catalog and known and not options.names_files:
        missing = warn_of_missing(project, known)
        warn_of_outside(project, known)
        warn_of_code(project)
        warn_of_credentials(project, catalog)
        warn_of_unmapped(project, catalog)
    results = []
    for folder in project.data_folders:
        selection = _selection(project, folder, options, known)
        if not folder.prefix or selection.chosen is None or selection.chosen:
            results.append(
                _push_folder(folder, selection, has_missing=bool(missing), dry_run=options.dry_run)
            )
    result = {**results[0], "missing": missing}
    return {**result, "folders": results[1:]} if results[1:] else result


def _push_folder(
    folder: DataFolder, selection: Selection, *, has_missing: bool, dry_run: bool
) -> dict[str, Any]:
    began = time.monotonic()
    root = folder.tree.root
    push = folder.push(transfer_progress("Sending"))
    with waiting(f"Comparing the data with {root}"):
        plan = push.prepare(selection)
    _warn_of_unsent(plan)
    if dry_run:
        _say_plan(plan, root)
        return {"root": root, "send": [str(pair.path) for pair in plan.send]}
    done = push.perform(plan)
    result = {"root": root, "sent": done.sent, "bytes": done.sent_bytes, "unchanged": len(plan.same)}
    if not (plan.send or plan.make):
        everything = "Everything else" if has_missing else "Everything"
        say(f"{everything} in {root} is up to date ({with_count(len(plan.same), 'file')}).")
        return result
    say(
        f"Sent {with_count(done.sent, 'file')} ({in_bytes(done.sent_bytes)}) to {root}; "
        f"{len(plan.same)} unchanged, {with_count(len(plan.make), 'folder')} created; "
        f"{time.monotonic() - began:.1f} s."
    )
    return result


def _catalog(project: ProjectOnWorkspace, options: PushOptions) -> ProjectCatalog | None:
    """Return the project's catalog; None if it cannot be read and files were named instead."""
    try:
        return project.catalog(options.params, options.pipelines)
    except datasets.UnknownDataError as error:
        if not options.names_files:
            raise
        warn(f"{error.message} So results on Databricks are protected only if both sides changed.")
        return None


def _selection(
    project: ProjectOnWorkspace, folder: DataFolder, options: PushOptions, known: ProjectData | None
) -> Selection:
    on_conflict = (
        OnConflict.MINE if options.force else OnConflict.THEIRS if options.theirs else OnConflict.REFUSE
    )
    is_main = not folder.prefix
    if known and not options.names_files:
        return Selection(in_data(folder.path, known.inputs), (), on_conflict, layers=is_main)
    chosen = folder.named(options.paths, project.data_folders) if options.paths else None
    for path in chosen or ():
        local.require(path)
    results = in_data(folder.path, known.results) if known else []
    return Selection(chosen, results, on_conflict, layers=is_main)


def warn_of_credentials(project: ProjectOnWorkspace, catalog: ProjectCatalog) -> None:
    """Warn of what the credentials of the pipelines need and Databricks does not have."""
    try:
        missing = missing_secrets(project, catalog)
    except HybridError as error:
        warn(f"The credentials were not checked. {error}")
        return
    if missing:
        warn(
            f"The secret scope {project.secret_scope.name} lacks what credentials need: "
            f"{first_names(missing)}. "
            f"Type `{command(each.name for each in missing)}{project.workspace.flags}`."
        )


def warn_of_unmapped(project: ProjectOnWorkspace, catalog: ProjectCatalog) -> None:
    """Warn of paths in the catalog that stay in the project, and so in the Git folder on Databricks."""
    mapped = catalog.mapped()
    if mapped is None:
        warn_of_loader(project, catalog)
        return
    folder = project.settings.data.local
    found = catalog_paths.unmapped(catalog.used(), mapped, folder, catalog.written())
    if found:
        listed = first_names([f"{value} ({dataset}, {key})" for dataset, key, value in found])
        warn(f"On Databricks these paths lie in the Git folder, as they are not mapped: {listed}.")


def warn_of_loader(project: ProjectOnWorkspace, catalog: ProjectCatalog) -> None:
    """Warn of paths that another config loader than ours leaves in the local data folder."""
    loader = scaffold.other_loader(project.metadata.package_name)
    if loader is None:
        return
    if paths := [each for folder in project.data_folders for each in catalog.left_in(folder.path)]:
        warn(
            f"settings.py sets the config loader {loader}, which does not map paths to the data root, so "
            f"runs on Databricks look for {first_names(paths)} in the Git folder. "
            f"{scaffold.ways_out(loader, project)}."
        )


def warn_of_code(project: ProjectOnWorkspace) -> None:
    """Warn of modules of the package that were imported here and that git ignores."""
    if found := unsent_code.imported(project):
        warn(
            "Git ignores these modules of the package, so Databricks does not get them: "
            f"{first_names(found)}."
        )


def warn_of_outside(project: ProjectOnWorkspace, known: ProjectData) -> None:
    """Warn of inputs on this machine that are neither in a data folder nor in Git."""
    if found := project.outside_inputs(known):
        data = project.settings.data.local
        warn(
            f"These inputs are neither in {data}/ nor in Git, so they do not reach Databricks: "
            f"{first_names(found)}. Move them below {data}/, add their folder to data.folders in "
            "databricks.yml, or commit them."
        )


def warn_of_missing(project: ProjectOnWorkspace, known: ProjectData) -> list[str]:
    """Warn of inputs that exist nowhere or are unknown, and return the names of the missing datasets."""
    for module, error in known.unknown.items():
        warn(f"{module} cannot be imported here ({error}), so the data of its pipelines are unknown.")
    missing = project.missing_inputs(known)
    if missing:
        listed = first_names(missing)
        warn(f"These inputs of the pipelines are neither here nor in {project.data_tree.root}: {listed}.")
    return [each.dataset for each in missing]


def _say_plan(plan: PushPlan, root: str) -> None:
    for unit in units_of(plan.send, with_local=True):
        size = in_bytes(sum(pair.here.size for pair in unit.pairs if pair.here))
        states = ", ".join(sorted({pair.state.value for pair in unit.pairs}))
        say(f"Would send {describe_unit(unit, size, states)}")
    for folder in plan.make:
        say(f"Would create {folder}/")
    files, folders = with_count(len(plan.send), "file"), with_count(len(plan.make), "folder")
    say(f"Would send {files} and create {folders} in {root}; {len(plan.same)} unchanged.")


def _warn_of_unsent(plan: PushPlan) -> None:
    changed = "changed only on Databricks, so not sent; `kedro databricks data pull` downloads it"
    for pairs, what in ((plan.changed_there, changed), (plan.kept, "left unchanged on Databricks")):
        for pair in pairs[:_SHOWN]:
            warn(f"{describe_sides(pair)}: {what}.")
        if len(pairs) > _SHOWN:
            warn(f"And {len(pairs) - _SHOWN} more: {what}.")
    if plan.results:
        count = with_count(len(plan.results), "result")
        warn(f"{count} of pipelines not sent: those on Databricks are kept; --force sends yours.")
