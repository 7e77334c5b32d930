"""`kedro databricks data`: data alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli.command import say, warn
from kedro_databricks_hybrid.cli.sizes import in_bytes, with_count

if TYPE_CHECKING:
    from collections.abc import Collection

    from kedro_databricks_hybrid.cli.project import Project
    from kedro_databricks_hybrid.transfer.plan import PushPlan
    from kedro_databricks_hybrid.transfer.push import Wish
    from kedro_databricks_hybrid.transfer.remote import RemoteTree
    from kedro_databricks_hybrid.workspace import Workspace


@dataclass(frozen=True)
class PushOptions:
    """What the user asked for."""

    paths: Collection[str] = ()
    pipelines: Collection[str] = ()
    everything: bool = False
    force: bool = False
    theirs: bool = False
    dry_run: bool = False


def push_to(project: Project, workspace: Workspace, options: PushOptions) -> None:
    """Push data and say what was done."""
    from kedro_databricks_hybrid.transfer import remote
    from kedro_databricks_hybrid.transfer.push import Push

    began = time.monotonic()
    tree = remote.tree(workspace, project.data_root(workspace))
    push = Push(tree, project.data, place(workspace, tree))
    plan = push.prepare(_wish(project, options))
    _note_what_is_left(plan)
    if not (plan.send or plan.make):
        push.perform(plan)
        say(f"Everything in {tree.root} is up to date ({with_count(len(plan.same), 'file')}).")
        return
    done = push.perform(plan)
    say(
        f"Sent {with_count(done.sent, 'file')} ({in_bytes(done.sent_bytes)}) to {tree.root}; "
        f"{len(plan.same)} unchanged, {with_count(len(plan.make), 'folder')} made; "
        f"{time.monotonic() - began:.1f} s."
    )


def place(workspace: Workspace, tree: RemoteTree) -> str:
    """Return what names a data root across workspaces; the sandbox may change its port."""
    return f"{'local' if workspace.is_local else workspace.host} {tree.root}"


def _wish(project: Project, options: PushOptions) -> Wish:
    from kedro_databricks_hybrid.transfer import datasets, local
    from kedro_databricks_hybrid.transfer.plan import Answer
    from kedro_databricks_hybrid.transfer.push import Wish

    answer = Answer.MINE if options.force else Answer.THEIRS if options.theirs else Answer.REFUSE
    chosen: Collection[Path] | None
    if options.paths:
        chosen = local.named(project.data, options.paths)
    elif options.everything:
        chosen = None
    else:
        chosen = _in_data(project.data, datasets.of_project(project.metadata, options.pipelines).inputs)
        return Wish(chosen, (), answer)
    results = _in_data(project.data, datasets.of_project(project.metadata).results)
    return Wish(chosen, results, answer)


def _in_data(data: Path, paths: Collection[Path]) -> list[Path]:
    """Return the paths in the data folder; datasets elsewhere are none of ours."""
    return [path for path in paths if path.is_relative_to(data) and ".." not in path.relative_to(data).parts]


def _note_what_is_left(plan: PushPlan) -> None:
    from kedro_databricks_hybrid.transfer.facts import facts

    for pairs, what in (
        (
            plan.changed_there,
            "changed there and not here, so not sent (`kedro databricks data pull` takes it)",
        ),
        (plan.kept, "changed on both sides, left as it is there"),
    ):
        for pair in pairs[:5]:
            warn(f"{facts(pair)}: {what}.")
        if len(pairs) > 5:
            warn(f"And {len(pairs) - 5} more {what}.")
    if plan.results:
        warn(
            f"{with_count(len(plan.results), 'result')} of pipelines left alone: those there are the cluster's."
        )
