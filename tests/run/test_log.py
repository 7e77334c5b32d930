"""What a run log adds up to, and where the cluster's paths become local ones."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from kedro_databricks_hybrid.project.project import LocalPaths
from kedro_databricks_hybrid.run.log import Outcome, RunLogReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteFile, RemoteTree


def test_an_outcome_without_an_end_record_has_not_ended() -> None:
    """However many nodes completed."""
    outcome = Outcome()
    outcome.take({"event": "node_started", "node": "a"})
    outcome.take({"event": "node_finished", "node": "a", "seconds": 1.0})
    assert not outcome.ended
    assert outcome.nodes["a"].completed


def test_a_nodes_seconds_last_until_its_last_save() -> None:
    """Spark computes while it saves."""
    outcome = Outcome()
    outcome.take({"event": "node_started", "node": "a"})
    outcome.take({"event": "node_finished", "node": "a", "seconds": 1.0})
    outcome.take({"event": "saved", "node": "a", "dataset": "x", "seconds": 5.0})
    assert outcome.nodes["a"].seconds == 5.0
    assert outcome.nodes["a"].saved == {"x": None}


def test_a_size_that_comes_later_is_noted() -> None:
    """It is measured while the next node works."""
    outcome = Outcome()
    outcome.take({"event": "saved", "node": "a", "dataset": "x", "seconds": 1.0})
    outcome.take({"event": "size", "node": "a", "dataset": "x", "bytes": 12})
    assert outcome.nodes["a"].saved == {"x": 12}
    assert outcome.nodes["a"].seconds == 1.0


def test_a_failed_node_is_not_completed() -> None:
    """It shows in the table."""
    outcome = Outcome()
    outcome.take({"event": "node_failed", "node": "a", "seconds": 1.0, "error": "x"})
    outcome.take({"event": "end", "outcome": "failed", "seconds": 2.0, "error": "x", "traceback": "y"})
    assert outcome.nodes["a"].completed is False
    assert (outcome.outcome, outcome.error, outcome.traceback) == ("failed", "x", "y")


class Memory:
    """A data root in memory."""

    root = "dbfs:/root"
    driver_path = PurePosixPath("/dbfs/root")

    def __init__(self) -> None:
        self.content: dict[PurePosixPath, bytes] = {}

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file."""
        return self.content.get(path)

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Keep a file."""
        self.content[path] = content

    def make_folder(self, path: PurePosixPath) -> None:
        """Folders are implied."""

    def files(self, folder: PurePosixPath) -> Iterator[RemoteFile]:
        """Nothing lists logs."""
        return iter(())


def test_files_are_read_in_order_each_once() -> None:
    """A file that is not there, or not whole, is asked for again."""
    tree = Memory()
    folder = PurePosixPath("runs/one")
    reader = RunLogReader(cast("RemoteTree", tree), folder)
    assert reader.records() is None
    tree.content[folder / "000001.jsonl"] = b'{"n": 1'
    assert reader.records() is None
    tree.content[folder / "000001.jsonl"] = b'{"n": 1}\n{"n": 2}\n'
    tree.content[folder / "000002.jsonl"] = b'{"n": 3}\n'
    assert reader.records() == [{"n": 1}, {"n": 2}]
    assert reader.records() == [{"n": 3}]
    assert reader.records() is None


def test_only_files_that_exist_here_are_replaced(tmp_path: Path) -> None:
    """Tracebacks then open in the editor; a file that is only there keeps its name."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/Repos/me@x.y/iris"), tmp_path)
    text = 'File "/Workspace/Repos/me@x.y/iris/nodes.py", line 1\nFile "/Workspace/Repos/me@x.y/iris/gone.py"'
    assert paths.in_text(text) == (
        f'File "{tmp_path}/nodes.py", line 1\nFile "/Workspace/Repos/me@x.y/iris/gone.py"'
    )


def test_a_project_whose_name_begins_the_same_is_another(tmp_path: Path) -> None:
    """`iris` is no prefix of `iris-two`."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/iris"), tmp_path)
    assert paths.in_text("/Workspace/iris-two/nodes.py") == "/Workspace/iris-two/nodes.py"


def test_messages_of_records_are_not_changed(tmp_path: Path) -> None:
    """What the code says is what it said."""
    (tmp_path / "nodes.py").write_text("")
    paths = LocalPaths(PurePosixPath("/Workspace/iris"), tmp_path)
    record = {"event": "log", "path": "/Workspace/iris/nodes.py", "message": "/Workspace/iris/nodes.py"}
    assert paths.in_record(record)["path"] == str(tmp_path / "nodes.py")
    assert paths.in_record(record)["message"] == "/Workspace/iris/nodes.py"
