"""Run a project with `kedro run`, and with the driver as in a warm process of a cluster, to compare both."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.framework.cli.project import run as kedro_run

from kedro_databricks_hybrid.run.request import RunRequest
from tests import fork_server
from tests.project_fixtures import PACKAGE, Project

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    found = [(line, _RICH_LINE.match(line.rstrip())) for line in done.stdout.splitlines(keepends=True)]
    out = "".join(line for line, match in found if not match)
    log = [_without_duration(f"{match[1]} {match[2].rstrip()}") for _, match in found if match]
    return Ran(
        done.returncode == 0, out, done.stderr, [line for line in log if "as logging conf" not in line]
    )


def there(project: Project, command: str = "", **changes: Any) -> Ran:
    """Run a project with the driver in this process, which stays warm for the next run.

    Args:
        project: The project.
        command: The options.
        **changes: Other fields of the request than those of a usual run.
    """
    request = request_of(project, command, **changes)
    before = Path.cwd(), dict(os.environ), sys.stdout, sys.path[:]
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as a new process has it
        exec(request.as_command(), {})  # noqa: S102
    assert (Path.cwd(), dict(os.environ), sys.stdout, sys.path) == before
    records = records_in(Path(request.data_root / request.log))
    texts = {
        name: "".join(each["text"] for each in records if each.get("stream") == name)
        for name in ("stdout", "stderr")
    }
    log = [each for each in records if each["event"] == "log"]
    return Ran(
        records[-1]["outcome"] == "completed",
        texts["stdout"],
        texts["stderr"],
        [_without_duration(f"{logging.getLevelName(each['level'])} {each['message']}") for each in log],
        records,
    )


def _without_duration(line: str) -> str:
    return re.sub(r"[\d.]+ sec", "n sec", line)


def request_of(project: Project, command: str = "", **changes: Any) -> RunRequest:
    """Return the request of a run; each has a log of its own."""
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
