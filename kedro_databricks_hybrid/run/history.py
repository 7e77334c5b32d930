"""The past runs of a project, read from their logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.answers import SECONDS, Object
from kedro_databricks_hybrid.databricks.clusters import Cluster
from kedro_databricks_hybrid.errors import NotFoundError, RunError
from kedro_databricks_hybrid.parallel import CONCURRENCY, run_all
from kedro_databricks_hybrid.run.context import CommandWork, Context
from kedro_databricks_hybrid.run.follow import Started
from kedro_databricks_hybrid.run.job import JobWork
from kedro_databricks_hybrid.run.log import END, END_FILE, RUN_FILE, RUNS_FOLDER, parse

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.answers import Shape
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.run.follow import Work
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

UNREADABLE = "unreadable"
"""The outcome to show of a run whose run.json or end.json is not what a run writes."""

_TEXTS = ("user", "commit", "branch", "cluster", "cluster_id", "context_id", "command_id", "job_run_id")
_INFO = Object(optional={**dict.fromkeys(_TEXTS, str), "t": SECONDS}, keeps_others=True)


@dataclass(frozen=True)
class PastRun:
    """A run whose log exists.

    Args:
        run_id: Its id; ids sort by start time.
        info: The content of run.json: user, commit, branch, env, cluster and ids.
        end: Its end record; None while it is running, or if its process died.
        command_id: The command that performs it; None if it was not recorded.
    """

    run_id: str
    info: dict[str, Any]
    end: dict[str, Any] | None
    command_id: str | None

    @property
    def outcome(self) -> str:
        """`completed`, `failed` or `cancelled`; `no end` without an end record."""
        return str(self.end["outcome"]) if self.end else "no end"

    def started(self, workspace: Workspace, tree: RemoteTree) -> Started:
        """Return the run in a form that can be followed from its first record, or cancelled."""
        return Started(_work(workspace, self.info), tree, self.run_id, self.info, self.end)


def latest(tree: RemoteTree, count: int) -> list[PastRun]:
    """Return the last runs, newest first.

    Args:
        tree: The data root.
        count: The maximum number of runs.
    """
    return _read_all(tree, _names(tree)[:count])


def find(tree: RemoteTree, run_id: str | None, user: str) -> PastRun:
    """Return any user's run by its id, or the last run of this user.

    Raises:
        NotFoundError: There is no such run.
    """
    if run_id is None:
        names = _names(tree)
        for start in range(0, len(names), CONCURRENCY):
            own = [
                run for run in _read_all(tree, names[start:][:CONCURRENCY]) if run.info.get("user") == user
            ]
            if own:
                return own[0]
        raise NotFoundError(f"You have no run with a log in {tree.root}.", hint="Run `kedro databricks run`.")
    found = read(tree, run_id) if PurePosixPath(run_id).name == run_id else None
    if found is None or not found.info:
        raise NotFoundError(
            f"There is no run {run_id!r} in {tree.root}.", hint="`kedro databricks runs` lists them."
        )
    return found


def read(tree: RemoteTree, run_id: str) -> PastRun:
    """Read a run's run.json and end.json."""
    folder = RUNS_FOLDER / run_id
    info = _json(tree, folder / RUN_FILE, _INFO) or _first_record(tree, folder)
    return PastRun(run_id, info, _json(tree, folder / END_FILE, END), info.get("command_id"))


def end_of(tree: RemoteTree, run_id: str) -> dict[str, Any] | None:
    """Return a run's end record with a single request; None if it has none."""
    return _json(tree, RUNS_FOLDER / run_id / END_FILE, END)


def _names(tree: RemoteTree) -> list[str]:
    listing = tree.list(RUNS_FOLDER)
    return sorted((folder.name for folder in listing.folders), reverse=True) if listing else []


def _read_all(tree: RemoteTree, names: list[str]) -> list[PastRun]:
    def read_or_skip(name: str) -> PastRun:
        try:
            return read(tree, name)
        except RunError:
            return PastRun(name, {}, {"outcome": UNREADABLE, "seconds": 0.0}, None)

    return run_all(read_or_skip, names)


def _first_record(tree: RemoteTree, folder: PurePosixPath) -> dict[str, Any]:
    """Return the log's first record, in case the client ended before it wrote run.json."""
    first = tree.read(folder / "000001.jsonl")
    found: dict[str, Any] = parse(first.splitlines()[0], _INFO, f"{tree.root}/{folder}") if first else {}
    return found


def _work(workspace: Workspace, info: dict[str, Any]) -> Work:
    """Return the job run or command that performs a run."""
    if (job_run := info.get("job_run_id", "")).isdecimal():
        return JobWork(workspace, int(job_run))
    cluster = Cluster(str(info.get("cluster_id", "")), str(info.get("cluster", "")))
    context = Context(workspace, cluster, str(info.get("context_id", "")))
    return CommandWork(context, str(info.get("command_id") or ""))


def _json(tree: RemoteTree, path: PurePosixPath, shape: Shape) -> dict[str, Any] | None:
    content = tree.read(path)
    return parse(content, shape, f"{tree.root}/{path}") if content else None
