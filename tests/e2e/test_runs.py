"""`run --detach`, `--fresh`, `--push` and `--json`; `attach`, `runs`, `logs` and `cancel`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_run import PROFILE, PUSH, RUN, commit_node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.commands import Result, Shell

pytestmark = pytest.mark.processes

_WAIT = """\
import pathlib
print("waiting", flush=True)
while not pathlib.Path({go!r}).exists():
    time.sleep(0.05)
print("went on")"""


def run_id(result: Result) -> str:
    """Return the id that `run --detach` printed."""
    found = re.search(r"Started run (\S+)\.", result.out)
    assert found, str(result)
    return found[1]


def let_go(shell: Shell) -> None:
    """Create the file for which the node of `waiting` waits."""
    _go(shell).touch()


def hold(shell: Shell) -> None:
    """Let the node of `waiting` wait for `let_go` again."""
    _go(shell).unlink(missing_ok=True)


def _go(shell: Shell) -> Path:
    return shell.home / "roots" / "dbfs" / f"go-{shell.folder.name}"


def waiting(shell: Shell) -> str:
    """Return a node's body that waits until `let_go` is called."""
    return _WAIT.format(go=f"/dbfs/go-{shell.folder.name}")


def test_a_detached_run_is_attached_to_and_listed(tiny: Callable[[str], Shell]) -> None:
    """Detach from a run, list it, attach to it until it ends, and read its whole log with `logs`."""
    shell = tiny("detached-run")
    commit_node(shell, waiting(shell))
    one = run_id(shell.ok(f"{RUN} --detach"))
    attached = shell.start(f"kedro databricks attach {PROFILE}")
    list(attached.lines_until("waiting"))
    listed = shell.ok(f"kedro databricks runs {PROFILE}").out
    head = shell.ok("git rev-parse HEAD").out[:7]
    assert re.search(rf"{one}\s+no end\s+[\d.]+\s+{head}\s+main\s+user@example.com", listed), listed
    let_go(shell)
    result = attached.finish()
    assert result.status == 0, str(result)
    assert "went on" in result.out
    logs = shell.ok(f"kedro databricks logs {one} {PROFILE}").out
    for words in ("waiting", "went on", "doubled (12 B)", "1 node completed", "Data: dbfs:/root/projects/"):
        assert words in logs
    as_json = json.loads(shell.ok(f"kedro databricks runs --json {PROFILE}").out.splitlines()[-1])
    assert [(row["run"], row["outcome"]) for row in as_json] == [(one, "completed")]


def test_a_run_is_cancelled_from_elsewhere(tiny: Callable[[str], Shell]) -> None:
    """`cancel` a run that another command follows: that command exits with 130."""
    shell = tiny("cancelled-run")
    commit_node(shell, waiting(shell))
    followed = shell.start(RUN)
    list(followed.lines_until("waiting"))
    assert "was cancelled" in shell.ok(f"kedro databricks cancel {PROFILE}").out
    result = followed.finish()
    assert result.status == 130, str(result)
    shell.fails(f"kedro databricks cancel {PROFILE}", "has ended already: cancelled")


def test_a_second_run_waits_or_goes_beside(tiny: Callable[[str], Shell]) -> None:
    """A second run waits for the first one and says so; with `--fresh` it runs in a process of its own."""
    shell = tiny("two-runs")
    commit_node(shell, waiting(shell))
    first = run_id(shell.ok(f"{RUN} --detach"))
    fresh = shell.start(f"{RUN} --fresh")
    list(fresh.lines_until("waiting"))
    second = shell.start(RUN)
    told = "".join(second.lines_until("is still running in this Python process"))
    assert f"Run {first} is still running" in told
    let_go(shell)
    for started in (fresh, second):
        result = started.finish()
        assert result.status == 0, str(result)
        assert "went on" in result.out


def test_push_and_run_at_once_with_json(tiny: Callable[[str], Shell]) -> None:
    """`run --push --json` pushes first; stdout ends with one JSON document, and the log is on stderr."""
    shell = tiny("at-once")
    result = shell.ok(f"{RUN} --push --json")
    outcome = json.loads(result.out.splitlines()[-1])
    assert outcome["outcome"] == "completed"
    assert [(node["name"], node["saved"]) for node in outcome["nodes"]] == [("double", {"doubled": 12})]
    assert outcome["data_root"] == "dbfs:/root/projects/at-once/data"
    assert "/compute/clusters/" in outcome["page"]
    assert "Completed 1 out of 1 tasks" in result.err


def test_logs_of_a_project_that_never_ran(tiny: Callable[[str], Shell]) -> None:
    """Without any run, `logs` says so; an unknown run id is named in the error."""
    shell = tiny("never-ran")
    shell.ok(PUSH)
    shell.fails(f"kedro databricks logs {PROFILE}", "You have no run with a log", "kedro databricks run")
    shell.fails(f"kedro databricks attach nonesuch {PROFILE}", "nonesuch", "kedro databricks runs")
    assert "No run has left a log" in shell.ok(f"kedro databricks runs {PROFILE}").out
