"""Reading a run log: the summary of its records, and local paths in place of the cluster's."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

import pytest

from kedro_databricks_hybrid.cli.output import log_printer
from kedro_databricks_hybrid.databricks.silence import Silence
from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.project.project import LocalPaths
from kedro_databricks_hybrid.run.log import Outcome, RunLogReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteFile, RemoteTree


def test_an_outcome_without_an_end_record_has_not_ended() -> None:
    """Without an end record the run has not ended, even if all nodes completed."""
    outcome = Outcome()
    outcome.take({"event": "node_started", "node": "a"})
    outcome.take({"event": "node_finished", "node": "a", "seconds": 1.0})
    assert not outcome.ended
    assert outcome.nodes["a"].completed


def test_a_nodes_seconds_last_until_its_last_save() -> None:
    """The time of a node includes its saves, since Spark computes while it saves."""
    outcome = Outcome()
    outcome.take({"event": "node_started", "node": "a"})
    outcome.take({"event": "node_finished", "node": "a", "seconds": 1.0})
    outcome.take({"event": "saved", "node": "a", "dataset": "x", "seconds": 5.0})
    assert outcome.nodes["a"].seconds == 5.0
    assert outcome.nodes["a"].saved == {"x": None}


def test_a_size_that_comes_later_is_noted() -> None:
    """The size of a dataset arrives in a later record: it is added, and the node's time is kept."""
    outcome = Outcome()
    outcome.take({"event": "saved", "node": "a", "dataset": "x", "seconds": 1.0})
    outcome.take({"event": "size", "node": "a", "dataset": "x", "bytes": 12})
    assert outcome.nodes["a"].saved == {"x": 12}
    assert outcome.nodes["a"].seconds == 1.0


def test_a_failed_node_is_not_completed() -> None:
    """A failed node is listed as not completed, with the error and traceback of the run."""
    outcome = Outcome()
    outcome.take({"event": "node_failed", "node": "a", "seconds": 1.0, "error": "x"})
    outcome.take({"event": "end", "outcome": "failed", "seconds": 2.0, "error": "x", "traceback": "y"})
    assert outcome.nodes["a"].completed is False
    assert (outcome.outcome, outcome.error, outcome.traceback) == ("failed", "x", "y")


class Memory:
    """A data root in memory."""

    root = "dbfs:/root"
    driver_path = PurePosixPath("/dbfs/root")

    def __init__(self, silence: Silence | None = None) -> None:
        self.content: dict[PurePosixPath, bytes] = {}
        self.silence = silence or Silence()

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return the content of a file, None if it does not exist."""
        return self.content.get(path)

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Store a file."""
        self.content[path] = content

    def make_folder(self, path: PurePosixPath) -> None:
        """Do nothing: there are no folders."""

    def files(self, folder: PurePosixPath) -> Iterator[RemoteFile]:
        """Return nothing, as logs are not listed."""
        return iter(())


def test_files_are_read_in_order_each_once() -> None:
    """Each log file is read once, in order; a missing or incomplete file is read again later."""
    tree = Memory()
    folder = PurePosixPath("runs/one")
    reader = RunLogReader(cast("RemoteTree", tree), folder)
    assert reader.records() is None
    lines = [json.dumps({"n": number, "t": 1.0, "event": "run"}).encode() + b"\n" for number in (1, 2, 3)]
    tree.content[folder / "000001.jsonl"] = lines[0][:-5]
    assert reader.records() is None
    tree.content[folder / "000001.jsonl"] = lines[0] + lines[1]
    tree.content[folder / "000002.jsonl"] = lines[2]
    found = [reader.records() or [], reader.records() or []]
    assert [[record["n"] for record in each] for each in found] == [[1, 2], [3]]
    assert reader.records() is None


def test_code_locations_are_those_of_files_here(tmp_path: Path) -> None:
    """Paths in tracebacks become local ones if the local file exists; other paths stay."""
    (tmp_path / "nodes.py").write_text("")
    (tmp_path / "raw.csv").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/Repos/me@x.y/iris"), tmp_path)
    text = """\
  File "/Workspace/Repos/me@x.y/iris/nodes.py", line 1, in load
  File "/Workspace/Repos/me@x.y/iris/gone.py", line 2
  File "/Workspace/Repos/me@x.y/iris-two/nodes.py", line 3
FileNotFoundError: No such file or directory: '/Workspace/Repos/me@x.y/iris/raw.csv'
"""
    assert paths.in_text(text) == text.replace(
        "/Workspace/Repos/me@x.y/iris/nodes.py", f"{tmp_path}/nodes.py"
    )


def test_messages_of_records_are_not_changed(tmp_path: Path) -> None:
    """Only the path field of a log record becomes local; a path in its message stays."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/iris"), tmp_path)
    record = {"event": "log", "path": "/Workspace/iris/nodes.py", "message": "/Workspace/iris/nodes.py"}
    assert paths.in_record(record)["path"] == str(tmp_path / "nodes.py")
    assert paths.in_record(record)["message"] == "/Workspace/iris/nodes.py"


def test_whatever_a_log_holds_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Records with invalid templates, columns, styles or nulls are still printed, on a terminal or not."""
    tree = Memory()
    known = {
        "n": 1,
        "t": 1,
        "event": "log",
        "level": 20,
        "name": "x",
        "message": "told",
        "path": "x",
        "line": 1,
    }
    for hostile in (
        {"template": "%s %s", "args": ["one"]},
        {"template": "%d", "args": ["one"]},
        {"template": 5, "args": ["one"], "rich_format": ["[", "no such style"]},
        {"columns": {"show_time": False, "unknown": 1, "time_format": "%"}},
        {"traceback": None, "markup": None, "columns": None, "level_name": None, "seconds": "x"},
        {"message": "[/] told", "markup": True},
    ):
        tree.content[PurePosixPath("one/000001.jsonl")] = (
            json.dumps({**known, "path": "x", "line": 1, **hostile}).encode() + b"\n"
        )
        (record,) = RunLogReader(cast("RemoteTree", tree), PurePosixPath("one")).records() or []
        for terminal in (True, False):
            log_printer(terminal=terminal)(record)
            assert "told" in capsys.readouterr().out, hostile


def test_names_in_a_log_cannot_act_on_the_terminal() -> None:
    """Control characters in names of nodes and datasets are escaped."""
    tree = Memory()
    record = {"n": 1, "t": 1, "event": "saved", "node": "\x1b[2J", "dataset": "a\0", "seconds": 1}
    tree.content[PurePosixPath("runs/one/000001.jsonl")] = json.dumps(record).encode() + b"\n"
    (found,) = RunLogReader(cast("RemoteTree", tree), PurePosixPath("runs/one")).records() or []
    assert (found["node"], found["dataset"]) == (r"\x1b[2J", r"a\x00")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"x", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it is a list instead of an object"),
        (b'{"n": 1, "t": 1}', "it lacks the field event"),
        (b'{"n": 1, "t": 1e300, "event": "run"}', "it has t, which is a huge number instead"),
        (b'{"n": true, "t": 1, "event": "run"}', "it has n, which is True instead of a whole number"),
        (b'{"n": 1, "t": 1, "event": "end", "outcome": "completed"}', "it lacks the field seconds"),
        (b'{"n": 1, "t": 1, "event": "output"}', "it lacks the field text"),
        (b'{"n": 1, "t": 1, "event": "log", "message": "x"}', "it lacks the field level"),
        (b'{"n": 1, "t": 1, "event": "saved", "node": "a", "seconds": 1}', "it lacks the field dataset"),
    ],
)
def test_what_no_run_writes_is_told(line: bytes, told: str) -> None:
    """A record of the wrong form is an error that names the file and the field."""
    tree = Memory()
    tree.content[PurePosixPath("runs/one/000001.jsonl")] = line + b"\n"
    with pytest.raises(RunError, match=rf"^dbfs:/root/runs/one/000001.jsonl is not what a run .*: {told}"):
        RunLogReader(cast("RemoteTree", tree), PurePosixPath("runs/one")).records()
