"""Runs during a network failure and beside a colleague's run, and how many requests a run sends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import COLLEAGUE, token_of
from tests.e2e.test_run import PROFILE, PUSH, REGISTRY, RUN, commit_node
from tests.e2e.test_runs import let_go, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

FAULT = "kedro databricks sandbox fault"

_OLD = """
import sys

if hasattr(sys, "was_here"):
    raise PermissionError(1, "Operation not permitted", "/Workspace/Repos/user/old-process/pyproject.toml")
sys.was_here = True
"""


def test_a_lost_network_harms_no_run(tiny: Callable[[str], Shell]) -> None:
    """Break connections while a run is followed: one warning, then every log line appears exactly once."""
    shell = tiny("lost-network")
    commit_node(shell, waiting(shell))
    followed = shell.start(RUN)
    list(followed.lines_until("waiting"))
    shell.ok(f"{FAULT} add reset-before --path=/api/* --times=4")
    let_go(shell)
    result = followed.finish()
    shell.ok(f"{FAULT} clear")
    assert result.status == 0, str(result)
    silence = r"The sandbox \(process \d+\) has not answered for \d s \(.+\); giving up after 30 minutes\."
    assert re.search(silence, result.err), result.err
    assert "answers again" in result.err
    assert result.out.count("went on") == 1


def test_two_users_do_not_meet(tiny: Callable[[str], Shell]) -> None:
    """Two users run on one cluster with one data root: separate processes, and each cancels only own runs."""
    mine = tiny("shared")
    commit_node(mine, waiting(mine))
    hers = {"DATABRICKS_HOST": mine.client().config.host, "DATABRICKS_TOKEN": token_of(mine.home, COLLEAGUE)}
    mine.ok("kedro databricks push", **hers)
    started = mine.start(RUN)
    list(started.lines_until("waiting"))
    theirs = mine.ok("kedro databricks run --detach", **hers)
    assert "is still running in this Python process" not in theirs.out
    listed = mine.ok(f"kedro databricks runs {PROFILE}").out
    assert set(re.findall(r"\S+@example\.com", listed)) == {"user@example.com", COLLEAGUE}
    assert "was cancelled" in mine.ok("kedro databricks cancel", **hers).out
    mine.fails("kedro databricks cancel", "has ended already: cancelled", **hers)
    let_go(mine)
    assert started.finish().status == 0


def test_a_warm_run_asks_for_little(tiny: Callable[[str], Shell]) -> None:
    """A run in a warm process sends fewer than 12 requests, not counting those that poll log and command."""
    shell = tiny("few-requests")
    shell.ok(PUSH)
    shell.ok(RUN)
    shell.ok(f"{FAULT} add delay --times=0")
    shell.ok(f"{FAULT} add delay --times=0 --path=/api/2.0/dbfs/read")
    shell.ok(f"{FAULT} add delay --times=0 --path=/api/1.2/commands/status")
    shell.ok(RUN)
    rules = shell.ok(f"{FAULT} list --json").out
    shell.ok(f"{FAULT} clear")
    everything, *polls = (int(found) for found in re.findall(r'"calls": (\d+)', rules))
    assert everything - sum(polls) < 12, rules


def test_a_process_that_may_not_read_the_workspace_is_replaced(tiny: Callable[[str], Shell]) -> None:
    """A process loses access to /Workspace (as after 36 hours): the run starts again in a new one, once."""
    shell = tiny("old-process")
    registry = shell.folder / REGISTRY
    registry.write_text(f"{_OLD}\n{registry.read_text()}")
    shell.ok("git commit -q -a -m Old")
    shell.ok(PUSH)
    assert "in a new one" not in shell.ok(RUN).out
    told = "The Python process may no longer read /Workspace, so this runs again in a new one."
    assert told in shell.ok(RUN).out
    registry.write_text(registry.read_text().replace("if hasattr", "if True or hasattr"))
    shell.ok("git commit -q -a -m Never")
    shell.ok(f"{PUSH} --no-data")
    failed = shell.run(RUN)
    assert (failed.status, failed.out.count(told)) == (1, 1), str(failed)
