"""Pulling data, and what is said about it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.options import say, warn
from kedro_databricks_hybrid.cli.output import in_bytes, transfer_progress, with_count
from kedro_databricks_hybrid.cli.startup_files import consent, named
from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.project import datasets
from kedro_databricks_hybrid.project.project import data_root_key, in_data
from kedro_databricks_hybrid.run.log import RUNS_FOLDER, Outcome, RunLogReader
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.pull import Pull
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.transfer.plan import PullPlan
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_RUNS = 10
_SHOWN = 5


@dataclass(frozen=True)
class PullOptions:
    """What the user asked for."""

    paths: Collection[str] = ()
    pipelines: Collection[str] = ()
    everything: bool = False
    force: bool = False
    mine: bool = False
    startup_files: bool | None = None
    dry_run: bool = False


def pull_data(project: Project, workspace: Workspace, options: PullOptions) -> dict[str, Any]:
    """Pull data and say what was done; returns the same for programs.

    Raises:
        TransferError: Edits here stayed, or start-up files were left out, and nobody said that they may.
    """
    began = time.monotonic()
    tree = open_tree(workspace, project.data_root(workspace))
    wanted = _wanted(project, tree, options)
    pull = Pull(tree, project.data, data_root_key(workspace, tree.root), transfer_progress("Receiving"))
    paths = [local.inside(project.data, path) for path in wanted]
    choice = options.startup_files
    may_take = consent(bool(choice) if options.dry_run else choice)
    plan = pull.prepare(paths, force=options.force, may_take=may_take)
    _note_what_stays(plan)
    left_out = [str(unit.path) for unit in plan.left_out]
    if options.dry_run:
        for pair in plan.downloads:
            say(f"Would take {pair.path} ({in_bytes(pair.there.size if pair.there else 0)})")
        say(f"Would take {with_count(len(plan.downloads), 'file')} from {tree.root}.")
        take = [str(pair.path) for pair in plan.downloads]
        return {"root": tree.root, "take": take, "left_out": left_out}
    done = pull.perform(plan)
    if done.saved:
        warn(f"Your edits are saved in {done.saved}.")
    if plan.take:
        say(
            f"Received {with_count(done.files, 'file')} ({in_bytes(done.size)}) from {tree.root}; "
            f"{time.monotonic() - began:.1f} s."
        )
    else:
        _say_nothing_came(plan, tree.root)
    if plan.kept and not options.mine:
        raise _kept(plan)
    if left_out and choice is None and not sys.stdin.isatty():
        raise TransferError(
            f"Not everything is here: left out, since programs run it when they start: {named(left_out)}.",
            hint="`kedro databricks data pull --startup-files` takes that; --no-startup-files does without.",
        )
    kept = [str(unit.path) for unit in plan.kept]
    return {"root": tree.root, "received": done.files, "bytes": done.size, "kept": kept, "left_out": left_out}


def _say_nothing_came(plan: PullPlan, root: str) -> None:
    same = sum(len(unit.pairs) for unit in plan.same)
    if not same and not plan.kept and not plan.left_out:
        warn(f"{root} has nothing of this yet: `kedro databricks run` writes it.")
    everything = "Everything else here" if plan.kept or plan.left_out else "Everything here"
    say(f"{everything} is up to date ({with_count(same, 'file')}).")


def _kept(plan: PullPlan) -> TransferError:
    names = ", ".join(str(unit.path) for unit in plan.kept[:_SHOWN])
    return TransferError(
        f"Not everything is as it is there: edited here, so kept: {names}"
        f"{', ...' if len(plan.kept) > _SHOWN else ''}.",
        hint="`kedro databricks data pull --force` takes theirs and saves yours; --mine accepts yours.",
    )


def _wanted(project: Project, tree: RemoteTree, options: PullOptions) -> Collection[Path]:
    if options.paths:
        return local.named(project.data, options.paths)
    if options.everything:
        return [project.data]
    if options.pipelines:
        return in_data(project.data, datasets.of_project(project.metadata, options.pipelines).outputs)
    for run in _last_runs(tree):
        names = sorted({name for node in _outcome(tree, run).nodes.values() for name in node.saved})
        if names:  # a run that was cancelled early wrote nothing
            say(f"Run {run.name} wrote {', '.join(names)}.")
            return in_data(project.data, datasets.of_datasets(project.metadata, names))
    return in_data(project.data, datasets.of_project(project.metadata).outputs)


def _last_runs(tree: RemoteTree) -> list[PurePosixPath]:
    """Return the folders of the newest runs' logs, the newest first; the names begin with their time."""
    listing = tree.list(RUNS_FOLDER)
    return sorted(listing.folders, reverse=True)[:_RUNS] if listing else []


def _outcome(tree: RemoteTree, run: PurePosixPath) -> Outcome:
    outcome = Outcome()
    reader = RunLogReader(tree, run)
    while (records := reader.records()) is not None:
        for record in records:
            outcome.take(record)
    return outcome


def _note_what_stays(plan: PullPlan) -> None:
    for unit in plan.kept[:_SHOWN]:
        warn(f"{unit.path} was edited here, so it stays as it is.")
    if len(plan.kept) > _SHOWN:
        warn(f"And {len(plan.kept) - _SHOWN} more that were edited here.")
