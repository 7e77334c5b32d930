"""Ctrl-C and `--timeout` during a run, on a cluster and as a job: what is asked, cancelled and left."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from kedro_databricks_hybrid.sandbox import connection
from tests.e2e.conftest import new_project
from tests.e2e.terminal import CTRL_C, type_at
from tests.e2e.test_jobs import jobs_of, now
from tests.e2e.test_lost_drivers import FAULT, last_outcome, outcomes
from tests.e2e.test_run import PROFILE, RUN, commit_node
from tests.e2e.test_runs import hold, let_go, waiting
from tests.soak.processes import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_ASKED = "Cancel the run or detach from it?"
_SLEEP = ["sleep", str(600_000 + os.getpid())]  # no other worker's


@pytest.fixture(scope="module")
def waits(sandbox_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Push a project whose node waits until `let_go` is called."""
    shell = new_project(tmp_path_factory.mktemp("waits") / "waits", sandbox_home)
    commit_node(shell, waiting(shell))
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def sleeps(sandbox_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Push a project whose node starts a child process, which runs longer than any test, and waits for it."""
    shell = new_project(tmp_path_factory.mktemp("sleeps") / "sleeps", sandbox_home)
    commit_node(
        shell,
        f"import subprocess\nchild = subprocess.Popen({_SLEEP})\n"
        "print('waiting', flush=True)\nchild.wait()\nprint('went on')",
    )
    yield shell
    shell.close()


def assert_nothing_left(shell: Shell, since: int) -> None:
    """Check that no process of the run is left, every job has ended, and `runs` says cancelled."""
    assert_cancelled(shell, since)
    assert last_outcome(shell) == "cancelled"


def assert_cancelled(shell: Shell, since: int) -> None:
    """Check that no process of the run is left, and every job was cancelled or timed out."""
    assert _SLEEP not in [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    for run in jobs_of(shell, since):
        assert run.state is not None
        assert str(run.state.result_state) in {"RunResultState.CANCELED", "RunResultState.TIMEDOUT"}


def test_ctrl_c_once_and_detach(waits: Shell) -> None:
    """Press Ctrl-C, then Enter or d: the run continues, `attach` follows it, and it completes."""
    hold(waits)
    for option, answer in (("", "\n"), (" --job", "d\n")):
        left = type_at(waits, f"run {PROFILE}{option}", {"waiting": CTRL_C, _ASKED: answer})
        assert left.status == 0, str(left)
        assert "The run is still running. Follow it again with: kedro databricks attach" in left.text
    runs = outcomes(waits)
    assert list(runs.values())[:2] == ["no end"] * 2
    let_go(waits)
    for run in list(runs)[:2]:
        attached = waits.ok(f"kedro databricks attach {run} {PROFILE}")
        assert "went on" in attached.out
    assert list(outcomes(waits).values())[:2] == ["completed"] * 2


@pytest.mark.parametrize(
    ("option", "answer"), [("", "c\n"), (" --job", CTRL_C)], ids=["letter", "again, of a job"]
)
def test_ctrl_c_and_cancel(sleeps: Shell, option: str, answer: str) -> None:
    """Press Ctrl-C, then type c or press Ctrl-C again: status 130, and nothing is left."""
    began = now(sleeps)
    cancelled = type_at(sleeps, f"run {PROFILE}{option}", {"waiting": CTRL_C, _ASKED: answer})
    assert cancelled.status == 130, str(cancelled)
    assert cancelled.text.count("The run was cancelled.") == 1
    assert "Traceback" not in cancelled.text
    assert_nothing_left(sleeps, began)


def test_ctrl_c_again_and_again(sleeps: Shell) -> None:
    """Press Ctrl-C twice more while the run is being cancelled: no traceback, and the run is cancelled."""
    began = now(sleeps)
    keys = {"waiting": CTRL_C, _ASKED: CTRL_C, "Cancelling the run": f"{CTRL_C}{CTRL_C}"}
    cancelled = type_at(sleeps, f"run {PROFILE}", keys)
    assert cancelled.status == 130, str(cancelled)
    assert "Traceback" not in cancelled.text
    assert_nothing_left(sleeps, began)


def test_ctrl_c_before_the_run_starts(tiny: Callable[[str], Shell]) -> None:
    """Press Ctrl-C while Python starts on the cluster: status 130, no run is listed, the process ends."""
    shell = tiny("early")
    commit_node(shell, "pass")
    running = connection.read(shell.home)
    assert running is not None
    before = kernels(running.pid)
    started = shell.start(RUN)
    list(started.lines_until("Starting Python"))
    while kernels(running.pid) == before:
        time.sleep(0.01)
    started.interrupt()
    result = started.finish()
    assert result.status == 130, str(result)
    assert "Interrupted while the run was starting" in result.errors[0], str(result)
    assert "No run has left a log" in shell.ok(f"kedro databricks runs {PROFILE}").out
    while kernels(running.pid) != before:  # the sandbox ends the process after its answer
        time.sleep(0.05)


@pytest.mark.parametrize("asked", ["submit", "get"])
def test_ctrl_c_while_a_job_is_submitted(sleeps: Shell, asked: str) -> None:
    """Press Ctrl-C before or after the answer to the job's submit request: Databricks cancels the job."""
    began = now(sleeps)
    sleeps.ok(f"{FAULT} add delay --path=/api/2.2/jobs/runs/{asked} --seconds=5")
    try:
        started = sleeps.start(f"{RUN} --job")
        while "hit 0 times" in sleeps.ok(f"{FAULT} list").out:
            assert started.process.poll() is None, str(started.finish())
        started.interrupt()
        result = started.finish()
    finally:
        sleeps.ok(f"{FAULT} clear")
    assert result.status == 130, str(result)
    assert "Interrupted while the run was starting" in result.errors[0], str(result)
    (run,) = jobs_of(sleeps, began)
    sleeps.client().jobs.wait_get_run_job_terminated_or_skipped(run.run_id or 0)
    assert_cancelled(sleeps, began)


def test_ctrl_c_without_a_network(waits: Shell) -> None:
    """Press Ctrl-C repeatedly while Databricks is unreachable: status 130; the run may still be running."""
    hold(waits)
    followed = waits.start(RUN)
    list(followed.lines_until("waiting"))
    waits.ok(f"{FAULT} add reset-before --path=/api/* --times=0")
    try:
        while followed.process.poll() is None:
            followed.interrupt()
            time.sleep(1)
    finally:
        waits.ok(f"{FAULT} clear")
    result = followed.finish()
    assert result.status == 130, str(result)
    assert "may still be running. Follow it again with: kedro databricks attach" in result.errors[0], str(
        result
    )
    let_go(waits)
    assert "went on" in waits.ok(f"kedro databricks attach {PROFILE}").out


@pytest.mark.parametrize("option", ["", " --job"], ids=["interactive", "job"])
def test_a_run_that_takes_too_long(sleeps: Shell, option: str) -> None:
    """Exceed `--timeout`: exit status 1 with one error line, and no process or job of the run is left."""
    began = now(sleeps)
    sleeps.fails(f"{RUN}{option} --timeout=8", "did not end within 8 s and was cancelled", "databricks logs")
    assert_nothing_left(sleeps, began)
