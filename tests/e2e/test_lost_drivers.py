"""Drivers that die during a run: the error gives the likely cause, and the next run works."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_jobs import write
from tests.e2e.test_run import PROFILE, RUN, commit_node
from tests.e2e.test_runs import let_go, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Result, Shell, Started

pytestmark = pytest.mark.processes

FAULT = "kedro databricks sandbox fault"
_JOB_CLUSTER = "{spark_version: 17.3.x-scala2.13, node_type_id: local, num_workers: 0}"
_TELLS_ITS_PROCESS = 'import os\nprint("process", os.getpid(), flush=True)\n'
_MEMORY = "it was killed, which usually means that the driver ran out of memory"


def kill_driver(followed: Started) -> Result:
    """Follow a run, kill the Python process whose id it prints, and return the command's result."""
    for line in followed.lines_until("waiting"):
        if line.startswith("process "):
            victim = int(line.split()[1])
    os.kill(victim, signal.SIGKILL)
    return followed.finish()


def last_outcome(shell: Shell) -> str:
    """Return the outcome of the newest run in `runs --json`."""
    rows = json.loads(shell.ok(f"kedro databricks runs --json {PROFILE}").out.splitlines()[-1])
    return str(rows[0]["outcome"])


def test_a_killed_process(tiny: Callable[[str], Shell]) -> None:
    """Kill the run's Python process: the error suggests lack of memory, and the next run starts a new one."""
    shell = tiny("killed")
    commit_node(shell, _TELLS_ITS_PROCESS + waiting(shell))
    result = kill_driver(shell.start(RUN))
    assert result.status == 1, str(result)
    said = f"Error: The run failed: The Python process on the cluster ended before the run did: {_MEMORY}."
    assert result.errors == [f"{said} Run it again with less data at a time, or on a larger driver."]
    assert last_outcome(shell) == "failed"
    let_go(shell)
    again = shell.ok(RUN)
    assert "Starting Python" in again.out
    assert "went on" in again.out


def test_a_killed_process_of_a_job(tiny: Callable[[str], Shell]) -> None:
    """Kill a job's Python process: the error has the job's message, its page and the likely cause."""
    shell = tiny("killed-job")
    commit_node(shell, _TELLS_ITS_PROCESS + waiting(shell))
    result = kill_driver(shell.start(f"{RUN} --job"))
    assert result.status == 1, str(result)
    (line,) = result.errors
    for words in (
        "RUN_EXECUTION_ERROR: The Python process ended with exit status",
        f": {_MEMORY}. See http://127.0.0.1",
        "larger driver",
    ):
        assert words in line, str(result)
    assert last_outcome(shell) == "failed"
    let_go(shell)
    assert "went on" in shell.ok(f"{RUN} --job").out


@pytest.mark.parametrize("option", ["", " --job"])
def test_memory_that_python_does_not_get(tiny: Callable[[str], Shell], option: str) -> None:
    """A node raises MemoryError: the run fails with its traceback, as with any other exception."""
    shell = tiny(f"greedy{option.strip()}")
    commit_node(shell, "bytearray(1 << 62)")
    failed = shell.run(RUN + option)
    assert failed.status == 1, str(failed)
    assert len(failed.errors) == 1
    assert "MemoryError" in failed.errors[0]
    assert "bytearray(1 << 62)" in failed.err


def test_an_evicted_context_and_a_terminated_cluster(tiny: Callable[[str], Shell]) -> None:
    """Lose the context, then the cluster: run, attach and logs give the cause, and the next run completes."""
    shell = tiny("lost-driver")
    commit_node(shell, waiting(shell))
    for accident, words in (
        ("evict-contexts", "ended before the run did"),
        ("terminate-cluster", "the cluster sandbox is terminat"),
    ):
        followed = shell.start(RUN)
        list(followed.lines_until("waiting"))
        shell.ok(f"{FAULT} add {accident}")
        result = followed.finish()
        shell.ok(f"{FAULT} clear")
        assert result.status == 1, str(result)
        assert words in result.errors[0]
        for verb in ("attach", "logs"):
            later = shell.fails(f"kedro databricks {verb} {PROFILE}", words)
            assert "Run it again" in later.errors[0]
        assert last_outcome(shell) == "failed"
    let_go(shell)
    assert "went on" in shell.ok(RUN).out


def test_a_terminated_cluster_of_a_job(tiny: Callable[[str], Shell]) -> None:
    """Terminate a job's cluster, all-purpose or job cluster: the error contains Databricks' message."""
    shell = tiny("lost-cluster")
    write(shell, **{"requirements.txt": "kedro-databricks-hybrid\n"})
    commit_node(shell, waiting(shell))
    folder = "/Workspace/Repos/{user}/lost-cluster"
    own = f"code: {{folder: '{folder}'}}\ncompute: {{job_cluster: {_JOB_CLUSTER}}}\n"
    for settings in (None, own):
        if settings:
            write(shell, base=settings)
        followed = shell.start(f"{RUN} --job")
        list(followed.lines_until("waiting"))
        shell.ok(f"{FAULT} add terminate-cluster")
        result = followed.finish()
        shell.ok(f"{FAULT} clear")
        assert result.status == 1, str(result)
        assert len(result.errors) == 1, str(result)
        assert "CLUSTER_ERROR: Cluster " in result.errors[0]
        assert "was terminated during the run. See http://127.0.0.1" in result.errors[0]
        assert last_outcome(shell) == "failed"
    let_go(shell)
