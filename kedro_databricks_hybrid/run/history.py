"""The runs of a project, told from their logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.clusters import Cluster
from kedro_databricks_hybrid.errors import NotFoundError
from kedro_databricks_hybrid.parallel import CONCURRENCY, run_all
from kedro_databricks_hybrid.run.context import CommandWork, Context
from kedro_databricks_hybrid.run.follow import Started
from kedro_databricks_hybrid.run.job import JobWork
from kedro_databricks_hybrid.run.log import END_FILE, RUN_FILE, RUNS_FOLDER

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.run.follow import Work
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


@dataclass(frozen=True)
class PastRun:
    """A run whose log exists.

    Args:
        run_id: Its name; names sort by the time of the start.
        facts: What its client noted: user, commit, branch, env, cluster and ids.
        end: Its end record, None while it goes on or where its process died.
        command_id: The command that runs it, None where that was not noted.
    """

    run_id: str
    facts: dict[str, Any]
    end: dict[str, Any] | None
    command_id: str | None

    @property
    def outcome(self) -> str:
        """`completed`, `failed` or `cancelled`; `no end` without an end record."""
        return str(self.end["outcome"]) if self.end else "no end"

    def started(self, workspace: Workspace, tree: RemoteTree) -> Started:
        """Return the run as one that can be followed from its first record, or cancelled."""
        return Started(_work(workspace, self.facts), tree, self.run_id, self.facts, self.end)


def latest(tree: RemoteTree, count: int) -> list[PastRun]:
    """Return the last runs, the newest first.

    Args:
        tree: The data root.
        count: How many at the most.
    """
    return _read_all(tree, _names(tree)[:count])


def find(tree: RemoteTree, run_id: str | None, user: str) -> PastRun:
    """Return a run by its id, whoever's it is, or the user's own last one.

    Raises:
        NotFoundError: There is none.
    """
    if run_id is None:
        names = _names(tree)
        for start in range(0, len(names), CONCURRENCY):
            own = [
                run for run in _read_all(tree, names[start:][:CONCURRENCY]) if run.facts.get("user") == user
            ]
            if own:
                return own[0]
        raise NotFoundError(
            f"No run of yours has left a log in {tree.root}.", hint="Run `kedro databricks run`."
        )
    found = read(tree, run_id)
    if not found.facts:
        raise NotFoundError(
            f"There is no run {run_id!r} in {tree.root}.", hint="`kedro databricks runs` lists them."
        )
    return found


def read(tree: RemoteTree, run_id: str) -> PastRun:
    """Read what is known of a run."""
    folder = RUNS_FOLDER / run_id
    facts = _json(tree, folder / RUN_FILE) or _first_record(tree, folder)
    return PastRun(run_id, facts, _json(tree, folder / END_FILE), facts.get("command_id"))


def end_of(tree: RemoteTree, run_id: str) -> dict[str, Any] | None:
    """Return a run's end by one question, None where it has none."""
    return _json(tree, RUNS_FOLDER / run_id / END_FILE)


def _names(tree: RemoteTree) -> list[str]:
    listing = tree.list(RUNS_FOLDER)
    return sorted((folder.name for folder in listing.folders), reverse=True) if listing else []


def _read_all(tree: RemoteTree, names: list[str]) -> list[PastRun]:
    return run_all(lambda name: read(tree, name), names)


def _first_record(tree: RemoteTree, folder: PurePosixPath) -> dict[str, Any]:
    """Return what the driver noted of the run, for a client that was gone before it could."""
    first = tree.read(folder / "000001.jsonl")
    found: dict[str, Any] = json.loads(first.splitlines()[0]) if first else {}
    return found


def _work(workspace: Workspace, facts: dict[str, Any]) -> Work:
    """Return what performs a run, by what its client or its driver noted."""
    if job_run := facts.get("job_run_id"):
        return JobWork(workspace, int(job_run))
    cluster = Cluster(str(facts.get("cluster_id", "")), str(facts.get("cluster", "")))
    context = Context(workspace, cluster, str(facts.get("context_id", "")))
    return CommandWork(context, str(facts.get("command_id") or ""))


def _json(tree: RemoteTree, path: PurePosixPath) -> dict[str, Any] | None:
    content = tree.read(path)
    found: dict[str, Any] | None = json.loads(content) if content else None
    return found
