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
from kedro_databricks_hybrid.transfer.pull import Pull

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
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
    began = time.monotonic()
    root = project.data_tree.root
    selected = _selected(project, options)
    pull = Pull(project.data_tree, project.data, project.data_key, transfer_progress("Receiving"))
    paths = [local.inside(project.data, path) for path in selected]
    choice = options.startup_files
    may_take = consent(bool(choice) if options.dry_run else choice)
    plan = pull.prepare(paths, force=options.force, may_take=may_take)
    _warn_of_kept(plan)
    left_out = [str(unit.path) for unit in plan.left_out]
    if options.dry_run:
        for unit in units_of(plan.downloads):
            size = in_bytes(sum(pair.there.size for pair in unit.pairs if pair.there))
            say(f"Would download {describe_unit(unit, size)}")
        say(f"Would download {with_count(len(plan.downloads), 'file')} from {root}.")
        take = [str(pair.path) for pair in plan.downloads]
        return {"root": root, "take": take, "left_out": left_out}
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
    if kept and not options.mine:
        edited = [unit.path for unit in plan.kept if not unit.is_own]
        own = [unit.path for unit in plan.kept if unit.is_own]
        reasons = {"since you edited them": edited, "since this machine has its own": own}
        said = "; ".join(f"{why}: {first_names(names)}" for why, names in reasons.items() if names)
        raise TransferError(
            f"Not all files were pulled. Kept, {said}.",
            hint="`kedro databricks data pull --force` saves yours and overwrites them; --mine keeps them.",
        )
    if left_out and choice is None and not sys.stdin.isatty():
        raise TransferError(
            "Not all files were pulled. Left out, since programs run them when they start: "
            f"{first_names(left_out)}.",
            hint="`kedro databricks data pull --startup-files` downloads them; --no-startup-files does not.",
        )
    return {"root": root, "received": done.files, "bytes": done.size, "kept": kept, "left_out": left_out}


def _say_up_to_date(plan: PullPlan, root: str) -> None:
    same = sum(len(unit.pairs) for unit in plan.same)
    if not same and not plan.kept and not plan.left_out:
        warn(f"{root} has none of these files yet: `kedro databricks run` writes them.")
    everything = "Everything else" if plan.kept or plan.left_out else "Everything"
    say(f"{everything} is up to date ({with_count(same, 'file')}).")


def _selected(project: ProjectOnWorkspace, options: PullOptions) -> Collection[Path]:
    if options.paths:
        return local.named(project.data, options.paths)
    if options.everything:
        return [project.data]
    catalog = project.catalog(options.params, options.pipelines)
    if options.pipelines:
        return in_data(project.data, catalog.data().outputs)
    for run in _last_runs(project.data_tree):
        outcome = _outcome(project.data_tree, run)
        names = sorted({name for node in outcome.nodes.values() for name in node.saved})
        if names:  # a run that was cancelled early wrote nothing
            say(f"Run {shown(run.name)} wrote {', '.join(map(shown, names))}.")
            return in_data(project.data, catalog.paths(names))
    return in_data(project.data, catalog.data().outputs)


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


def _warn_of_kept(plan: PullPlan) -> None:
    for unit in plan.kept[:_SHOWN]:
        warn(
            f"{shown(unit.path)} here is of this machine, perhaps of a local run, so it is kept."
            if unit.is_own
            else f"You edited {shown(unit.path)}, so it is kept."
        )
    if len(plan.kept) > _SHOWN:
        warn(f"And {len(plan.kept) - _SHOWN} more are kept.")
