"""Read a run's log: its records in order, the outcome they add up to, and its paths as local ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.answers import (
    LINE,
    SECONDS,
    SIZE,
    Between,
    Object,
    UnexpectedAnswer,
    fitting,
)
from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.answers import Shape
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

RUNS_FOLDER = PurePosixPath(".kedro-hybrid/runs")
"""The folder of run logs below the data root, with one folder per run."""

RUN_FILE = "run.json"
"""Beside a run's log: what runs and where, written by the client after the start."""

END_FILE = "end.json"
"""Beside a run's log: a copy of its end record; a client writes it if the driver could not."""

Record = dict[str, Any]
"""One line of a run log: `n` (from 1), `t` (seconds since 1970), `event`, and the fields of that event."""

_DURATION = Between(-1e9, 1e9)  # clocks are set back
_COLUMNS = {**dict.fromkeys(("show_time", "show_level", "show_path"), bool), "time_format": str}
_MORE = {**dict.fromkeys(("error", "traceback", "hint"), str), "seconds": _DURATION}

END = Object({"outcome": str, "seconds": _DURATION}, _MORE, keeps_others=True)
"""The shape of an end record and of end.json."""

_EVENTS = {
    "log": Object(
        {"level": int, "name": str, "message": str, "path": str, "line": int},
        {
            **dict.fromkeys(("traceback", "level_name"), str),
            **dict.fromkeys(("markup", "highlighter"), bool),
            "args": [str],
            "rich_format": [str],
            "columns": Object(optional=_COLUMNS),
        },
        keeps_others=True,
    ),
    "output": Object({"text": str}, keeps_others=True),
    **dict.fromkeys(
        ("node_started", "node_finished", "node_failed"), Object({"node": LINE}, _MORE, keeps_others=True)
    ),
    "saved": Object({"node": LINE, "dataset": LINE}, _MORE, keeps_others=True),
    "size": Object({"node": LINE, "dataset": LINE, "bytes": SIZE}, keeps_others=True),
    "end": END,
}
_RECORD = Object({"n": int, "t": SECONDS, "event": str}, keeps_others=True)


@dataclass
class NodeRun:
    """A node of the pipeline.

    Args:
        name: Its name.
        seconds: How long it took; None if it did not end.
        completed: Whether it completed; None while it is running.
        saved: The datasets that it saved, with their size in bytes, None if unknown.
    """

    name: str
    seconds: float | None = None
    completed: bool | None = None
    saved: dict[str, int | None] = field(default_factory=dict)


@dataclass
class Outcome:
    """The outcome that a run's log reports. Only an end record makes `ended` true or means success.

    Args:
        nodes: The nodes that started, in order of their start.
        outcome: `completed`, `failed` or `cancelled`; None without an end record.
        seconds: How long the run took on the cluster.
        error: The last line of the traceback.
        traceback: The whole traceback.
        hint: The next step after a failure.
        is_spoiled: Whether the process that ran it must not run anything else.
    """

    nodes: dict[str, NodeRun] = field(default_factory=dict)
    outcome: str | None = None
    seconds: float = 0.0
    error: str = ""
    traceback: str = ""
    hint: str = "Fix it, commit, then push and run again."
    is_spoiled: bool = False

    @property
    def ended(self) -> bool:
        """Whether the end record has been read."""
        return self.outcome is not None

    def take(self, record: Record) -> None:
        """Update the outcome from a record."""
        event = record["event"]
        if event == "end":
            self.outcome = record["outcome"]
            self.seconds = record["seconds"]
            self.error = record.get("error", "")
            self.traceback = record.get("traceback", "")
            self.hint = record.get("hint", self.hint)
            self.is_spoiled = bool(record.get("spoiled"))
        elif "node" in record:
            node = self.nodes.setdefault(record["node"], NodeRun(record["node"]))
            node.seconds = record.get("seconds", node.seconds)
            if event in {"saved", "size"} and not record.get("in_memory"):
                node.saved[record["dataset"]] = record.get("bytes")
            elif event in {"node_finished", "node_failed"}:
                node.completed = event == "node_finished"


class RunLogReader:
    """Read the numbered files of a run log in order; `next` is the number of the next file.

    Args:
        tree: The data root.
        folder: The log's folder, relative to the root.
    """

    def __init__(self, tree: RemoteTree, folder: PurePosixPath) -> None:
        self._tree = tree
        self._folder = folder
        self.next = 1

    def records(self) -> list[Record] | None:
        """Return the records of the next file; None if it does not exist yet.

        Raises:
            RunError: The file has something else than records.
        """
        path = self._folder / f"{self.next:06d}.jsonl"
        content = self._tree.read(path)
        if content is None or not content.endswith(b"\n"):
            return None
        self.next += 1
        return [_record(line, f"{self._tree.root}/{path}") for line in content.splitlines()]


def parse(content: bytes, shape: Shape, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a file of a run log.

    Args:
        content: The file's content, or one line of it.
        shape: Its shape.
        path: The file, for the message.

    Raises:
        RunError: It is not what a run writes.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _damaged(path, "is not JSON") from None
    return _checked(document, shape, path)


def _record(line: bytes, path: str) -> Record:
    found: Record = parse(line, _RECORD, path)
    record: Record = _checked(found, _EVENTS.get(found["event"], object), path)
    return record


def _checked(document: object, shape: Shape, path: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return fitting(document, shape)
    except UnexpectedAnswer as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: str, why: str) -> RunError:
    return RunError(
        f"{shown(path)} is not what a run writes: it {why}.",
        hint="Delete that run's folder, or name another run: `kedro databricks runs` lists them.",
    )
