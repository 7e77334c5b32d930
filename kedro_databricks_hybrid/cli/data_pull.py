"""Pull data and print what was done."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.options import say, warn
from kedro_databricks_hybrid.cli.output import (
    describe_unit,
    first_names,
    in_bytes,
    transfer_progress,
    with_count,
)
from kedro_databricks_hybrid.cli.startup_files import consent
from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.project.project import in_data
from kedro_databricks_hybrid.run.log import RUNS_FOLDER, Outcome, RunLogReader
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.plan import units_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.project.project import DataFolder, ProjectOnWorkspace
    from kedro_databricks_hybrid.transfer.plan import PullPlan
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_RUNS = 10
_SHOWN = 5


@dataclass(frozen=True)
class PullOptions:
    """The options of `kedro databricks data pull`."""

    paths: Collection[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    pipelines: Collection[str] = ()
    everything: bool = False
    force: bool = False
    mine: bool = False
    startup_files: bool | None = None
    dry_run: bool = False


def pull_data(project: ProjectOnWorkspace, options: PullOptions) -> dict[str, Any]:
    """Pull data, print what was done, and return the same for `--json`.

    Raises:
        TransferError: Edited files were kept, or start-up files left out, and no option allows that.
    """
    wanted = None if options.paths or options.everything else _results(project, options)
    results, kept, left_out = [], [], []
    for folder in project.data_folders:
        selected = _selected(project, folder, options, wanted)
        if folder.prefix and not selected:
            continue
        plan, result = _pull_folder(folder, selected, options)
        kept += [(f"{folder.prefix}{unit.path}", unit.is_own) for unit in plan.kept]
        left_out += [f"{folder.prefix}{unit.path}" for unit in plan.left_out]
        results.append(result)
    if kept and not options.mine and not options.dry_run:
        edited = [path for path, is_own in kept if not is_own]
        own = [path for path, is_own in kept if is_own]
        reasons = {"since you edited them": edited, "since this machine has its own": own}
        said = "; ".join(f"{why}: {first_names(names)}" for why, names in reasons.items() if names)
        raise TransferError(
            f"Not all files were pulled. Kept, {said}.",
            hint="`kedro databricks data pull --force` saves yours and overwrites them; --mine keeps them.",
        )
    is_asked = options.startup_files is None and not sys.stdin.isatty() and not options.dry_run
    if left_out and is_asked:
        raise TransferError(
            "Not all files were pulled. Left out, since programs run them when they start: "
            f"{first_names(left_out)}.",
            hint="`kedro databricks data pull --startup-files` downloads them; --no-startup-files does not.",
        )
    return {**results[0], "folders": results[1:]} if results[1:] else results[0]


def _pull_folder(
    folder: DataFolder, selected: Collection[Path], options: PullOptions
) -> tuple[PullPlan, dict[str, Any]]:
    began = time.monotonic()
    root = folder.tree.root
    pull = folder.pull(transfer_progress("Receiving"))
    paths = [local.inside(folder.path, path) for path in selected]
    choice = options.startup_files
    may_take = consent(bool(choice) if options.dry_run else choice)
    plan = pull.prepare(paths, force=options.force, may_take=may_take)
    _warn_of_kept(plan, folder.prefix)
    left_out = [str(unit.path) for unit in plan.left_out]
    if options.dry_run:
        for unit in units_of(plan.downloads):
            size = in_bytes(sum(pair.there.size for pair in unit.pairs if pair.there))
            say(f"Would download {describe_unit(unit, size)}")
        say(f"Would download {with_count(len(plan.downloads), 'file')} from {root}.")
        take = [str(pair.path) for pair in plan.downloads]
        return plan, {"root": root, "take": take, "left_out": left_out}
    done = pull.perform(plan)
    if done.saved:
        warn(f"Your edits are saved in {done.saved}.")
    if plan.take:
        say(
            f"Received {with_count(done.files, 'file')} ({in_bytes(done.size)}) from {root}; "
            f"{time.monotonic() - began:.1f} s."
        )
    else:
        _say_up_to_date(plan, root)
    kept = [str(unit.path) for unit in plan.kept]
    document = {"root": root, "received": done.files, "bytes": done.size, "kept": kept, "left_out": left_out}
    return plan, document


def _say_up_to_date(plan: PullPlan, root: str) -> None:
    same = sum(len(unit.pairs) for unit in plan.same)
    if not same and not plan.kept and not plan.left_out:
        warn(f"{root} has none of these files yet: `kedro databricks run` writes them.")
    everything = "Everything else" if plan.kept or plan.left_out else "Everything"
    say(f"{everything} is up to date ({with_count(same, 'file')}).")


def _selected(
    project: ProjectOnWorkspace, folder: DataFolder, options: PullOptions, wanted: Collection[Path] | None
) -> Collection[Path]:
    if wanted is not None:
        return in_data(folder.path, wanted)
    return folder.named(options.paths, project.data_folders) if options.paths else [folder.path]


def _results(project: ProjectOnWorkspace, options: PullOptions) -> Collection[Path]:
    """Return the local paths of what the last run wrote, or of all that the pipelines write."""
    catalog = project.catalog(options.params, options.pipelines)
    if options.pipelines:
        return catalog.data().outputs
    for run in _last_runs(project.data_tree):
        outcome = _outcome(project.data_tree, run)
        names = sorted({name for node in outcome.nodes.values() for name in node.saved})
        if names:  # a run that was cancelled early wrote nothing
            say(f"Run {shown(run.name)} wrote {', '.join(map(shown, names))}.")
            return catalog.paths(names)
    return catalog.data().outputs


def _last_runs(tree: RemoteTree) -> list[PurePosixPath]:
    """Return the log folders of the latest runs, the newest first; their names begin with the time."""
    listing = tree.list(RUNS_FOLDER)
    return sorted(listing.folders, reverse=True)[:_RUNS] if listing else []


def _outcome(tree: RemoteTree, run: PurePosixPath) -> Outcome:
    outcome = Outcome()
    reader = RunLogReader(tree, run)
    while (records := reader.records()) is not None:
        for record in records:
            outcome.take(record)
    return outcome


def _warn_of_kept(plan: PullPlan, prefix: str) -> None:
    for unit in plan.kept[:_SHOWN]:
        warn(
            f"{prefix}{shown(unit.path)} here is of this machine, perhaps of a local run, so it is kept."
            if unit.is_own
            else f"You edited {prefix}{shown(unit.path)}, so it is kept."
        )
    if len(plan.kept) > _SHOWN:
        warn(f"And {len(plan.kept) - _SHOWN} more are kept.")
