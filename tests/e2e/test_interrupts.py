"""Ctrl-C and `--timeout` during a run, on a cluster and as a job: what is asked, cancelled and left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest

from kedro_databricks_hybrid.sandbox import connection
from tests.e2e.terminal import CTRL_C, type_at
from tests.e2e.test_jobs import jobs_of, now
from tests.e2e.test_lost_drivers import FAULT, last_outcome
from tests.e2e.test_run import PROFILE, RUN, commit_node
from tests.e2e.test_runs import let_go, waiting
from tests.soak.processes import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_ASKED = "Cancel the run or detach from it?"
_BACKENDS = pytest.mark.parametrize("option", ["", " --job"], ids=["interactive", "job"])


def sleeper(shell: Shell) -> str:
    """Return a node's body that starts a child process, which runs longer than any test, and waits for it."""
    return (
        f"import subprocess\nchild = subprocess.Popen(['sleep', {_id(shell)!r}])\n"
        "print('waiting', flush=True)\nchild.wait()\nprint('went on')"
    )


def sleeps(shell: Shell) -> bool:
    """Return whether the child process of `sleeper` is running."""
    found = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
    return ["sleep", _id(shell)] in found


def _id(shell: Shell) -> str:
    return str(600_000 + sum(shell.folder.name.encode()))


def assert_nothing_left(shell: Shell, since: int) -> None:
    """Check that no process of the run is left, every job has ended, and `runs` says cancelled."""
    assert_cancelled(shell, since)
    assert last_outcome(shell) == "cancelled"


def assert_cancelled(shell: Shell, since: int) -> None:
    """Check that no process of the run is left, and every job was cancelled or timed out."""
    assert not sleeps(shell)
    for run in jobs_of(shell, since):
        assert run.state is not None
        assert str(run.state.result_state) in {"RunResultState.CANCELED", "RunResultState.TIMEDOUT"}


@pytest.mark.parametrize(("option", "answer"), [("", "\n"), (" --job", "d\n")], ids=["interactive", "job"])
def test_ctrl_c_once_and_detach(tiny: Callable[[str], Shell], option: str, answer: str) -> None:
    """Press Ctrl-C, then Enter or d: the run continues, `attach` follows it, and it completes."""
    shell = tiny(f"leaves{option.strip()}")
    commit_node(shell, waiting(shell))
    left = type_at(shell, f"run {PROFILE}{option}", {"waiting": CTRL_C, _ASKED: answer})
    assert left.status == 0, str(left)
    assert "The run is still running. Follow it again with: kedro databricks attach" in left.text
    let_go(shell)
    attached = shell.ok(f"kedro databricks attach {PROFILE}")
    assert "went on" in attached.out
    assert last_outcome(shell) == "completed"


@pytest.mark.parametrize(
    ("option", "answer"),
    [("", "c\n"), ("", CTRL_C), (" --job", CTRL_C)],
    ids=["letter", "again", "job"],
)
def test_ctrl_c_and_cancel(tiny: Callable[[str], Shell], option: str, answer: str) -> None:
    """Press Ctrl-C, then type c or press Ctrl-C again: status 130, and nothing is left."""
    shell = tiny(f"cancels{option.strip()}-{ord(answer[0])}")
    commit_node(shell, sleeper(shell))
    began = now(shell)
    cancelled = type_at(shell, f"run {PROFILE}{option}", {"waiting": CTRL_C, _ASKED: answer})
    assert cancelled.status == 130, str(cancelled)
    assert cancelled.text.count("The run was cancelled.") == 1
    assert "Traceback" not in cancelled.text
    assert_nothing_left(shell, began)


def test_ctrl_c_again_and_again(tiny: Callable[[str], Shell]) -> None:
    """Press Ctrl-C twice more while the run is being cancelled: no traceback, and the run is cancelled."""
    shell = tiny("impatient")
    commit_node(shell, sleeper(shell))
    began = now(shell)
    keys = {"waiting": CTRL_C, _ASKED: CTRL_C, "Cancelling the run": f"{CTRL_C}{CTRL_C}"}
    cancelled = type_at(shell, f"run {PROFILE}", keys)
    assert cancelled.status == 130, str(cancelled)
    assert "Traceback" not in cancelled.text
    assert_nothing_left(shell, began)


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
def test_ctrl_c_while_a_job_is_submitted(tiny: Callable[[str], Shell], asked: str) -> None:
    """Press Ctrl-C before or after the answer to the job's submit request: Databricks cancels the job."""
    shell = tiny(f"interrupted-{asked}")
    commit_node(shell, sleeper(shell))
    began = now(shell)
    shell.ok(f"{FAULT} add delay --path=/api/2.2/jobs/runs/{asked} --seconds=5")
    try:
        started = shell.start(f"{RUN} --job")
        while "hit 0 times" in shell.ok(f"{FAULT} list").out:
            assert started.process.poll() is None, str(started.finish())
        started.interrupt()
        result = started.finish()
    finally:
        shell.ok(f"{FAULT} clear")
    assert result.status == 130, str(result)
    assert "Interrupted while the run was starting" in result.errors[0], str(result)
    (run,) = jobs_of(shell, began)
    shell.client().jobs.wait_get_run_job_terminated_or_skipped(run.run_id or 0)
    assert_cancelled(shell, began)


def test_ctrl_c_without_a_network(tiny: Callable[[str], Shell]) -> None:
    """Press Ctrl-C repeatedly while Databricks is unreachable: status 130; the run may still be running."""
    shell = tiny("unreachable")
    commit_node(shell, waiting(shell))
    followed = shell.start(RUN)
    list(followed.lines_until("waiting"))
    shell.ok(f"{FAULT} add reset-before --path=/api/* --times=0")
    try:
        while followed.process.poll() is None:
            followed.interrupt()
            time.sleep(1)
    finally:
        shell.ok(f"{FAULT} clear")
    result = followed.finish()
    assert result.status == 130, str(result)
    assert "may still be running. Follow it again with: kedro databricks attach" in result.errors[0], str(
        result
    )
    let_go(shell)
    assert "went on" in shell.ok(f"kedro databricks attach {PROFILE}").out


@_BACKENDS
def test_a_run_that_takes_too_long(tiny: Callable[[str], Shell], option: str) -> None:
    """Exceed `--timeout`: exit status 1 with one error line, and no process or job of the run is left."""
    shell = tiny(f"too-long{option.strip()}")
    commit_node(shell, sleeper(shell))
    began = now(shell)
    shell.fails(f"{RUN}{option} --timeout=8", "did not end within 8 s and was cancelled", "databricks logs")
    assert_nothing_left(shell, began)
