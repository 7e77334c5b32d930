"""The driver program, run here: what it writes, in which order, and that it leaves the process as it was."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_databricks_hybrid.run import driver
from kedro_databricks_hybrid.run.request import RunRequest
from tests.project_fixtures import PACKAGE, Project, make_project

pytestmark = pytest.mark.processes

_FAILING = """\
import pandas as pd
from kedro.pipeline import node, pipeline


def fail(raw: pd.DataFrame) -> pd.DataFrame:
    raise RuntimeError("no luck")


def register_pipelines():
    return {"__default__": pipeline([node(fail, "raw", "doubled", name="fail")])}
"""


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run log."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def perform(project: Project, **options: Any) -> list[dict[str, Any]]:
    """Run a request in a new process, as a cluster would, and return the log."""
    root = project.path.parent / "root"
    request = RunRequest(
        run_id="one",
        project_path=project.path,  # type: ignore[arg-type]
        package_name=PACKAGE,
        data_root=root,  # type: ignore[arg-type]
        options={"env": None, "conf_source": None, "params": {}, "runner": None, **options},
        user="me@example.com",
        info={"commit": "c0ffee", "branch": "main"},
    )
    subprocess.run([sys.executable, "-c", request.as_command()], check=True, cwd=project.path.parent)
    return records(root / request.log)


def test_the_log_of_a_run(tmp_path: Path) -> None:
    """Numbered from one, nodes and datasets in order, and an end record that says completed."""
    log = perform(make_project(tmp_path / "project"))
    assert [record["n"] for record in log] == list(range(1, len(log) + 1))
    assert (log[0]["event"], log[0]["commit"], log[0]["user"]) == ("run", "c0ffee", "me@example.com")
    events = [(r["event"], r.get("node")) for r in log[1:] if r["event"] not in {"log", "output"}]
    assert events == [
        ("node_started", "double"),
        ("node_finished", "double"),
        ("saved", "double"),
        ("size", "double"),
        ("end", None),
    ]
    assert log[-1]["outcome"] == "completed"
    assert "Completed 1 out of 1 tasks" in [r["message"] for r in log if r["event"] == "log"]


def test_the_log_of_a_failure(tmp_path: Path) -> None:
    """The end record holds the project's traceback, without the driver's own frames."""
    project = make_project(tmp_path / "project").write({f"src/{PACKAGE}/pipeline_registry.py": _FAILING})
    end = perform(project)[-1]
    assert end["outcome"] == "failed"
    assert end["error"] == "RuntimeError: no luck"
    assert 'raise RuntimeError("no luck")' in end["traceback"]
    assert "driver.py" not in end["traceback"]


def test_an_option_that_the_clusters_kedro_lacks(tmp_path: Path) -> None:
    """It is named instead of ignored."""
    end = perform(make_project(tmp_path / "project"), from_the_future=True)[-1]
    assert (
        end["error"] == "TypeError: The Kedro on the cluster has no option from_the_future; update it there."
    )


def test_no_bytecode_is_left_in_the_project(tmp_path: Path) -> None:
    """It would make the Git folder dirty."""
    project = make_project(tmp_path / "project")
    perform(project)
    assert list(project.path.rglob("__pycache__")) == []


def test_a_long_log_is_cut_into_files_that_one_read_answers(tmp_path: Path) -> None:
    """No file exceeds the limit, and no record is lost or torn, from several threads at once."""
    log = driver.RunLog(str(tmp_path / "log"))

    def add_many() -> None:
        for _ in range(500):
            log.add("log", message="ä" * 1000)

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close(outcome="completed")
    files = sorted((tmp_path / "log").glob("*"))
    assert all(file.stat().st_size <= driver.CHUNK_BYTES + 3000 for file in files)
    assert [r["n"] for r in records(tmp_path / "log")] == list(range(1, 2002))


def test_what_is_printed_in_a_row_is_one_record(tmp_path: Path) -> None:
    """Also without a last line break; another stream or another event begins a new one."""
    log = driver.RunLog(str(tmp_path / "log"))
    with driver.captured_output(log):
        print("a", end="")  # noqa: T201
        print("b")  # noqa: T201
        print("c", end="", file=sys.stderr)  # noqa: T201
        log.add("saved", dataset="x")
        print("d", end="", file=sys.stderr)  # noqa: T201
    log.close()
    found = [(r.get("stream"), r.get("text")) for r in records(tmp_path / "log")[:-1]]
    assert found == [("stdout", "ab\n"), ("stderr", "c"), (None, None), ("stderr", "d")]


def test_much_output_is_cheap_and_whole(tmp_path: Path) -> None:
    """A hundred thousand lines arrive in order, in few files and records of bounded size."""
    log = driver.RunLog(str(tmp_path / "log"))
    lines = [f"line {number}\n" for number in range(100_000)]
    with driver.captured_output(log):
        sys.stdout.writelines(lines)
    log.close()
    found = [r["text"] for r in records(tmp_path / "log") if r["event"] == "output"]
    assert "".join(found) == "".join(lines)
    assert len(found) < 100
    assert max(file.stat().st_size for file in (tmp_path / "log").iterdir()) < 1024 * 1024


def test_log_handlers_are_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """During a run, records only go to its log; afterwards the process logs as before."""
    logger = logging.getLogger("tests.driver")
    handler = logging.StreamHandler(sys.stdout)
    logger.addHandler(handler)
    log = driver.RunLog(str(tmp_path / "log"))
    try:
        with driver.redirected_logging(log):
            logger.warning("inside %s", "the run")
        logger.warning("after it")
    finally:
        logger.removeHandler(handler)
        log.close()
    printed = capsys.readouterr().out
    assert "after it" in printed
    assert "inside" not in printed
    assert [r["message"] for r in records(tmp_path / "log") if r["event"] == "log"] == ["inside the run"]


def test_modules_are_forgotten_by_their_exact_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose name only begins the same keeps its modules."""
    for name in ("iris", "iris.nodes", "iris_two"):
        monkeypatch.setitem(sys.modules, name, sys)
    driver.forget("iris")
    assert "iris" not in sys.modules
    assert "iris.nodes" not in sys.modules
    assert "iris_two" in sys.modules


def test_a_run_that_is_cancelled_while_it_imports_spoils_the_process(tmp_path: Path) -> None:
    """Python keeps a module half imported, so the end record says whether one was."""
    stopped = 'raise KeyboardInterrupt("stop")\n'
    for line, is_spoiled in ((f"import {PACKAGE}.late", True), (stopped.strip(), False)):
        project = make_project(tmp_path / f"spoiled-{is_spoiled}" / "project")
        project.write({f"src/{PACKAGE}/late.py": stopped})
        project.write(
            {f"src/{PACKAGE}/pipeline_registry.py": _FAILING.replace('raise RuntimeError("no luck")', line)}
        )
        end = perform(project)[-1]
        assert (end["outcome"], end["spoiled"]) == ("cancelled", is_spoiled)


def test_a_mount_that_is_not_supported_is_like_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some compute answers with Errno 95 below /dbfs, where the file is not anyway."""
    (tmp_path / "a.csv").write_text("12345")
    stat = os.stat

    def unsupported(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/dbfs/"):
            raise OSError(95, "Operation not supported", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", unsupported)
    assert driver.size_of(SimpleNamespace(_filepath=tmp_path / "a.csv")) == 5


def test_a_process_that_may_not_read_the_workspace_is_spoiled(tmp_path: Path) -> None:
    """A process has access for 36 hours; what the project itself may not read says nothing about that."""
    for path, is_spoiled in (("/Workspace/Repos/me/iris/pyproject.toml", True), ("/etc/shadow", False)):
        line = f"raise PermissionError(1, 'Operation not permitted', {path!r})"
        project = make_project(tmp_path / f"spoiled-{is_spoiled}" / "project")
        project.write(
            {f"src/{PACKAGE}/pipeline_registry.py": _FAILING.replace('raise RuntimeError("no luck")', line)}
        )
        end = perform(project)[-1]
        assert (end["outcome"], end.get("spoiled", False)) == ("failed", is_spoiled)


_ANY_ARGUMENTS = """
from kedro.framework.session import KedroSession


class Own(KedroSession):
    def run(self, *args, **kwargs):
        print("a session of the project's own")
        return super().run(*args, **kwargs)


SESSION_CLASS = Own
"""


def test_a_session_that_takes_any_arguments_gets_what_kedros_takes(tmp_path: Path) -> None:
    """The project's class passes them on, so it is asked for none by name."""
    project = make_project(tmp_path / "project")
    settings = project.path / f"src/{PACKAGE}/settings.py"
    settings.write_text(settings.read_text("utf-8") + _ANY_ARGUMENTS, encoding="utf-8")
    records = perform(project)
    assert records[-1]["outcome"] == "completed", records[-1]
    assert "a session of the project's own" in str(records)
