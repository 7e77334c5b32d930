"""What a run prints and logs, compared with a local run."""

from __future__ import annotations

import builtins
import os
import textwrap
from pathlib import Path

import pytest

from kedro_databricks_hybrid.run.driver.run_log import RunLog
from tests.both_ways import here, records_in, there
from tests.project_fixtures import PACKAGE, Project, make_project

pytestmark = pytest.mark.processes


def with_node(folder: Path, body: str) -> Project:
    """Return a project of one node with these statements."""
    head = """\
        import ctypes, logging, multiprocessing, os, subprocess, sys
        from pathlib import Path

        import click
        from kedro.pipeline import node, pipeline

        log = logging.getLogger("tiny_shop.talk")


        def register_pipelines():
            return {"__default__": pipeline([node(talk, None, "said", name="talk")])}


        def talk():
        """
    text = textwrap.dedent(head) + textwrap.indent(textwrap.dedent(body), "    ") + "\n    return 1\n"
    return make_project(folder).write({f"src/{PACKAGE}/pipeline_registry.py": text})


_EVERY_WAY = r"""
sys.stdout.reconfigure(line_buffering=True)
print("text: äöü ✓")
click.echo(b"bytes")
sys.stdout.buffer.write(b"buffer\n")
sys.stdout.flush()
os.write(1, b"descriptor, no UTF-8: \xff\n")
subprocess.run(["echo", "a child"], check=True)
print("after the child")
child = multiprocessing.get_context("fork").Process(target=print, args=("by a forked process",))
child.start()
child.join()
print("to stderr", file=sys.stderr, flush=True)
subprocess.run(["sh", "-c", "echo child to stderr >&2"], check=True)
print("surrogate \udc80", file=sys.stderr, flush=True)
try:
    sys.stdout.write(b"no text")
except TypeError as error:
    print(type(error), error)
for stream in (sys.stdout, sys.stderr):
    print(stream.name, stream.mode, stream.encoding, stream.isatty(), stream.fileno(), stream.closed)
log.warning("record")
print("without a line break", end="")
print()
"""


def test_output_is_that_of_a_local_run(tmp_path: Path) -> None:
    """Text, bytes and file descriptors, of the process and its children, in the order of a local run."""
    project = with_node(tmp_path / "project", _EVERY_WAY)
    local, remote = here(project), there(project)
    assert local.completed
    assert (remote.out, remote.err, remote.log) == (local.out, local.err, local.log)


def test_records_and_output_keep_their_order(tmp_path: Path) -> None:
    """Output of a child process stays between the records before and after it, also in a forked process."""
    project = with_node(
        tmp_path / "project",
        """
        def both(name):
            log.warning("%s 1", name)
            subprocess.run(["echo", name], check=True)
            log.warning("%s 2", name)
            print("x" * 100_000)

        both("here")
        child = multiprocessing.get_context("fork").Process(target=both, args=("forked",))
        child.start()
        child.join()
        ctypes.CDLL(None).printf(b"from C")
        """,
    )
    ran = there(project)
    seen = [each.get("message", each.get("text", "")).rstrip("\n") for each in ran.records]
    expected = ["here 1", "here", "here 2", "x" * 100_000, "forked 1", "forked", "forked 2", "x" * 100_000]
    assert [each for each in seen if each in expected] == expected
    assert ran.out.endswith("from C")


def test_a_child_that_outlives_its_run_writes_to_the_next_log(tmp_path: Path) -> None:
    """A child process that outlives its run, like Spark's Java, writes to the log of the next run."""
    project = with_node(
        tmp_path / "project",
        """
        if not os.path.exists("go"):
            os.mkfifo("go")
            os.mkfifo("gone")
            subprocess.Popen(["sh", "-c", "read _ < go; echo late; exec > gone"])
        else:
            Path("go").write_text("go\\n")
            Path("gone").read_text()
        """,
    )
    assert "late" not in there(project).out
    assert there(project).out == "late\n"


def test_output_returns_to_where_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """After the run, streams that a library kept and file descriptors work as before."""
    project = with_node(tmp_path / "project", "import builtins\nbuiltins.kept_stream = sys.stdout")
    try:
        there(project)
        print("later", file=vars(builtins)["kept_stream"])
        os.write(1, b"descriptor\n")
    finally:
        del vars(builtins)["kept_stream"]
    assert capfd.readouterr().out == "later\ndescriptor\n"


class _Unprintable:
    def __str__(self) -> str:
        raise ValueError("not now")


def test_a_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A record that cannot be written is replaced by a note; surrogates are written as escapes."""
    log = RunLog(str(tmp_path))
    log.add("log", message=_Unprintable())
    log.add("log", message="\udc80 \\ ä")
    log.close(outcome="completed")
    first, second, end = records_in(tmp_path)
    assert (first["n"], first["event"], first["stream"]) == (1, "output", "stderr")
    assert first["text"] == "A record of the run log (log) could not be written: ValueError: not now\n"
    assert second["message"] == "\\udc80 \\ ä"
    assert end["outcome"] == "completed"


def test_a_log_folder_that_is_away_for_a_moment(tmp_path: Path) -> None:
    """Writing to the log folder fails for a moment: the records are written later, in order."""
    folder = tmp_path / "log"
    log = RunLog(str(folder))
    folder.rename(tmp_path / "away")
    log.add("log", message="first")
    with pytest.raises(FileNotFoundError):
        log._flush()  # noqa: SLF001
    (tmp_path / "away").rename(folder)
    log.add("log", message="second")
    log.close(outcome="completed")
    assert [each.get("message") for each in records_in(folder)] == ["first", "second", None]
    assert [each["n"] for each in records_in(folder)] == [1, 2, 3]


def test_a_message_of_any_size_is_whole(tmp_path: Path) -> None:
    """A large message is complete, and so is its stack."""
    project = with_node(tmp_path / "project", 'log.warning("x" * 3_000_000 + "!", stack_info=True)')
    (record,) = (each for each in there(project).records if each.get("name") == "tiny_shop.talk")
    assert record["message"] == "x" * 3_000_000 + "!"
    assert "in talk" in record["traceback"]
