"""Drivers that die during a run: the error gives the likely cause, and the next run works."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_jobs import write
from tests.e2e.test_run import PROFILE, PUSH, RUN, commit_node
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


def outcomes(shell: Shell) -> dict[str, str]:
    """Return the outcome of each run, the newest first, by its id."""
    rows = json.loads(shell.ok(f"kedro databricks runs --json {PROFILE}").out.splitlines()[-1])
    return {str(row["run"]): str(row["outcome"]) for row in rows}


def last_outcome(shell: Shell) -> str:
    """Return the outcome of the newest run in `runs --json`."""
    return next(iter(outcomes(shell).values()))


_SAID = {
    "": (
        f"The run failed: The Python process on the cluster ended before the run did: {_MEMORY}.",
        "Run it again with less data at a time, or on a larger driver.",
    ),
    " --job": (
        "RUN_EXECUTION_ERROR: The Python process ended with exit status",
        f": {_MEMORY}. See http://127.0.0.1",
        "larger driver",
    ),
}


@pytest.mark.parametrize("option", _SAID)
def test_too_little_memory(tiny: Callable[[str], Shell], option: str) -> None:
    """Kill the run's Python process: the error suggests lack of memory, and the next run starts a new one.

    There a node raises MemoryError: the run fails with its traceback, as with any other exception.
    """
    shell = tiny(f"killed{option.strip()}")
    commit_node(shell, f"{_TELLS_ITS_PROCESS}{waiting(shell)}\nbytearray(1 << 62)")
    result = kill_driver(shell.start(RUN + option))
    assert result.status == 1, str(result)
    (line,) = result.errors
    for words in _SAID[option]:
        assert words in line, str(result)
    assert last_outcome(shell) == "failed"
    let_go(shell)
    again = shell.run(RUN + option)
    assert again.status == 1, str(again)
    assert "went on" in again.out
    assert bool(option) or "Starting Python" in again.out
    assert len(again.errors) == 1
    assert "MemoryError" in again.errors[0]
    assert "bytearray(1 << 62)" in again.err


def test_an_evicted_context_and_terminated_clusters(tiny: Callable[[str], Shell]) -> None:
    """Lose the context, then every cluster: run, attach and logs give the cause, and the next run completes.

    The clusters are an all-purpose one, with a run and a job, and a job cluster. The jobs' errors contain
    Databricks' message. The next run starts the terminated cluster and says so.
    """
    shell = tiny("lost-driver")
    commit_node(shell, waiting(shell))
    followed = waiting_for(shell, RUN)
    lose(shell, "evict-contexts")
    assert_cause(shell, followed.finish(), "ended before the run did")
    started = [waiting_for(shell, command) for command in (RUN, f"{RUN} --job")]
    own = f"data: {{root: dbfs:/root/projects/lost-driver/data}}\ncompute: {{job_cluster: {_JOB_CLUSTER}}}\n"
    write(shell, own=own, **{"requirements.txt": "kedro-databricks-hybrid\n"})
    commit_node(shell, waiting(shell))
    started.append(waiting_for(shell, f"{RUN} --job --env=own"))
    shell.ok("git revert --no-edit HEAD")
    shell.ok(PUSH)
    lose(shell, "terminate-cluster")
    run, *jobs = (each.finish() for each in started)
    assert_cause(shell, run, "the cluster sandbox is terminat", number=2)
    for result in jobs:
        assert result.status == 1, str(result)
        assert len(result.errors) == 1, str(result)
        assert "CLUSTER_ERROR: Cluster " in result.errors[0]
        assert "was terminated during the run. See http://127.0.0.1" in result.errors[0]
    assert list(outcomes(shell).values()) == ["failed"] * 4
    let_go(shell)
    again = shell.ok(RUN)
    for words in ("Cluster sandbox is starting", "Cluster sandbox is running", "went on"):
        assert words in again.out


def waiting_for(shell: Shell, command: str) -> Started:
    """Start a run, and return it once its node waits."""
    started = shell.start(command)
    list(started.lines_until("waiting"))
    return started


def lose(shell: Shell, accident: str) -> None:
    """Let an accident happen on all clusters, at the next request."""
    shell.ok(f"{FAULT} add {accident}")
    while not re.search(r'"struck": [1-9]', shell.ok(f"{FAULT} list --json").out):
        time.sleep(0.1)
    shell.ok(f"{FAULT} clear")


def assert_cause(shell: Shell, result: Result, words: str, number: int = 0) -> None:
    """Check that a result's error has these words, and that of attach and logs of the run of this number."""
    assert result.status == 1, str(result)
    assert words in result.errors[0]
    run = list(outcomes(shell))[number]
    for verb in ("attach", "logs"):
        later = shell.fails(f"kedro databricks {verb} {run} {PROFILE}", words)
        assert "Run it again" in later.errors[0]
