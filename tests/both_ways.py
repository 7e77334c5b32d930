"""Run a project with `kedro run` and with the driver, as in a warm process of a cluster, to compare both."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.framework.cli.project import run as kedro_run
from rich.text import Text

from kedro_databricks_hybrid.run.request import RunRequest
from tests import fork_server
from tests.project_fixtures import PACKAGE, Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INDENT = " " * 20
_RICH_LINE = re.compile(r"(?:\[[^\]]+\]|\s{10,}) (\w+) +(.*?)\s+\S+\.py:\d+$")


@dataclass
class Ran:
    """What a run did, in a form that is the same for both ways.

    Args:
        completed: Whether its exit status was 0.
        out: What it printed to stdout, without log records.
        err: What it printed to stderr.
        log: Level and message of each log record that a terminal shows in Kedro's columns.
        records: All records of the run log; empty for a local run.
    """

    completed: bool
    out: str
    err: str
    log: list[str]
    records: list[dict[str, Any]] = field(default_factory=list)


def here(project: Project, command: str = "", **variables: str) -> Ran:
    """Run a project with `kedro run` in a new process.

    Args:
        project: The project.
        command: The options.
        **variables: Environment variables.
    """
    done = subprocess.run(
        [fork_server.program_folder() / "kedro", "run", *shlex.split(command)],
        cwd=project.path,
        env={**os.environ, "COLUMNS": "4000", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
    )
    out, log = _split(done.stdout)
    log = [_normal(line) for line in log if "as logging conf" not in line]
    return Ran(done.returncode == 0, _normal(out), done.stderr, log)


def _normal(text: str) -> str:
    """Return text without parts that differ between two runs."""
    return re.sub(r"\d+\.\d+ sec", "0 sec", text)


def _split(printed: str) -> tuple[str, list[str]]:
    """Return the output without records in Kedro's columns, and the records without tracebacks."""
    out, log, is_in_traceback = "", [""], False
    for line in printed.splitlines(keepends=True):
        if match := _RICH_LINE.match(line.rstrip()):
            log.append(f"{match[1]} {match[2]}")
            is_in_traceback = False
        elif line.startswith(_INDENT) and log[-1]:
            is_in_traceback = is_in_traceback or line.strip().startswith(("╭", "Traceback"))
            log[-1] += "" if is_in_traceback else f" {line}"
        else:
            out += line
    return out, [" ".join(each.split()) for each in log[1:]]


def there(project: Project, command: str = "", **changes: Any) -> Ran:
    """Run a project with the driver in this process, which stays warm for the next run.

    Args:
        project: The project.
        command: The options.
        **changes: Other fields of the request than those of a usual run.
    """
    request = request_of(project, command, **changes)
    before = Path.cwd(), dict(os.environ), sys.stdout, sys.path[:]
    with _new_warnings():
        exec(request.as_command(), {})  # noqa: S102
    assert (Path.cwd(), dict(os.environ), sys.stdout, sys.path) == before
    return ran_there(records_in(Path(request.data_root / request.log)))


def ran_there(records: list[dict[str, Any]]) -> Ran:
    """Return what a run did, from its log."""
    texts = {
        name: "".join(each["text"] for each in records if each.get("stream") == name)
        for name in ("stdout", "stderr")
    }
    log = [_normal(_shown(each)) for each in records if each["event"] == "log"]
    is_completed = records[-1]["outcome"] == "completed"
    return Ran(is_completed, _normal(texts["stdout"]), texts["stderr"], log, records)


def _shown(record: dict[str, Any]) -> str:
    """Return level and message of a record as a terminal shows them."""
    message = Text.from_markup(record["message"]).plain if record.get("markup", True) else record["message"]
    return " ".join([logging.getLevelName(record["level"]), *message.split()])


@contextmanager
def _new_warnings() -> Iterator[None]:
    """Show warnings as a new process does, since pytest changes that."""
    found = importlib.util.spec_from_file_location("warnings_as_new", warnings.__file__)
    assert found is not None
    assert found.loader is not None
    as_new: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(as_new)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        vars(warnings)["_showwarnmsg_impl"] = as_new._showwarnmsg_impl  # noqa: SLF001
        yield


def request_of(project: Project, command: str = "", **changes: Any) -> RunRequest:
    """Return the request of a run; each run has its own log."""
    root = project.path.parent / "root"
    runs = len(list(root.glob(".kedro-hybrid/runs/*")))
    context = kedro_run.make_context("run", shlex.split(command))
    values: Mapping[str, Any] = {
        "run_id": f"run-{runs}",
        "project_path": PurePosixPath(project.path),
        "package_name": PACKAGE,
        "data_root": PurePosixPath(root),
        "options": context.params,
        "user": "me@example.com",
        "info": {"commit": "c0ffee", "branch": "main"},
    }
    return RunRequest(**{**values, **changes})


def records_in(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run log."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]
