"""Pushing data, and what is said about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.options import say, warn
from kedro_databricks_hybrid.cli.output import in_bytes, transfer_progress, with_count
from kedro_databricks_hybrid.project import datasets
from kedro_databricks_hybrid.project.project import data_root_key, in_data
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.plan import OnConflict, describe_sides
from kedro_databricks_hybrid.transfer.push import Push, Selection
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Collection

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.transfer.plan import PushPlan

_SHOWN = 5


@dataclass(frozen=True)
class PushOptions:
    """What the user asked for."""

    paths: Collection[str] = ()
    pipelines: Collection[str] = ()
    everything: bool = False
    force: bool = False
    theirs: bool = False
    dry_run: bool = False


def push_data(project: Project, workspace: Workspace, options: PushOptions) -> dict[str, Any]:
    """Push data and say what was done; returns the same for programs."""
    began = time.monotonic()
    selection = _selection(project, options)
    tree = open_tree(workspace, project.data_root(workspace))
    push = Push(tree, project.data, data_root_key(workspace, tree.root), transfer_progress("Sending"))
    plan = push.prepare(selection)
    _note_what_is_left(plan)
    if options.dry_run:
        _say_plan(plan, tree.root)
        return {"root": tree.root, "send": [str(pair.path) for pair in plan.send]}
    done = push.perform(plan)
    told = {"root": tree.root, "sent": done.sent, "bytes": done.sent_bytes, "unchanged": len(plan.same)}
    if not (plan.send or plan.make):
        say(f"Everything in {tree.root} is up to date ({with_count(len(plan.same), 'file')}).")
        return told
    say(
        f"Sent {with_count(done.sent, 'file')} ({in_bytes(done.sent_bytes)}) to {tree.root}; "
        f"{len(plan.same)} unchanged, {with_count(len(plan.make), 'folder')} made; "
        f"{time.monotonic() - began:.1f} s."
    )
    return told


def _selection(project: Project, options: PushOptions) -> Selection:
    on_conflict = (
        OnConflict.MINE if options.force else OnConflict.THEIRS if options.theirs else OnConflict.REFUSE
    )
    if not options.paths and not options.everything:
        inputs = datasets.of_project(project.metadata, options.pipelines).inputs
        return Selection(in_data(project.data, inputs), (), on_conflict)
    chosen = local.named(project.data, options.paths) if options.paths else None
    for path in chosen or ():
        local.require(path)
    try:
        results = in_data(project.data, datasets.of_project(project.metadata).results)
    except datasets.UnknownDataError as error:
        warn(f"{error.message} So results there are protected only where both sides changed.")
        results = []
    return Selection(chosen, results, on_conflict)


def _say_plan(plan: PushPlan, root: str) -> None:
    for pair in plan.send:
        say(f"Would send {pair.path} ({in_bytes(pair.here.size if pair.here else 0)}, {pair.state.value})")
    for folder in plan.make:
        say(f"Would make {folder}/")
    files, folders = with_count(len(plan.send), "file"), with_count(len(plan.make), "folder")
    say(f"Would send {files} and make {folders} in {root}; {len(plan.same)} unchanged.")


def _note_what_is_left(plan: PushPlan) -> None:
    theirs = "changed there and not here, so not sent; `kedro databricks data pull` takes it"
    for pairs, what in ((plan.changed_there, theirs), (plan.kept, "left as it is there")):
        for pair in pairs[:_SHOWN]:
            warn(f"{describe_sides(pair)}: {what}.")
        if len(pairs) > _SHOWN:
            warn(f"And {len(pairs) - _SHOWN} more: {what}.")
    if plan.results:
        count = with_count(len(plan.results), "result")
        warn(f"{count} of pipelines not sent: the cluster's are kept; --force sends yours.")
