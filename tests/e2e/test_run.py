"""`kedro databricks run` on a small pandas project: output, options, failures, Ctrl-C, new requirements."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import psutil
import pytest
from databricks.sdk.errors.base import DatabricksError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
PUSH = f"kedro databricks push {PROFILE}"
RUN = f"kedro databricks run {PROFILE}"
REGISTRY = "src/tiny_shop/pipeline_registry.py"
_STARTUP = "databricks_sandbox.kernel.inside.startup"

_NODES = """\
import logging
import sys
import time

import pandas as pd
from kedro.pipeline import node, pipeline


def double(raw: pd.DataFrame) -> pd.DataFrame:
    {body}
    return raw * 2


def register_pipelines():
    return {{"__default__": pipeline([node(double, "raw", "doubled", name="double", tags=["sums"])])}}
"""


def commit_node(shell: Shell, body: str) -> None:
    """Replace the body of the node, commit and push."""
    (shell.folder / REGISTRY).write_text(_NODES.format(body=body.replace("\n", "\n    ")))
    shell.ok("git commit -q -a -m Change")
    shell.ok(PUSH)


def doubled(shell: Shell, name: str) -> bytes:
    """Return the content of the run's output file on DBFS."""
    path = f"/root/projects/{name}/data/02_intermediate/doubled.csv"
    return b64decode(shell.client().dbfs.read(path).data or "")


def test_what_a_node_raises_and_prints_is_shown(tiny: Callable[[str], Shell]) -> None:
    """A node raises: log, the project's traceback, one Error line, status 1; so does one that exits with 0.

    The fixed code then runs. It prints to stdout and stderr, and a long line without an end: all is shown.
    """
    shell = tiny("failing")
    commit_node(shell, 'logging.getLogger("kedro").info("so far so good")\nraise ValueError("not today")')
    failed = shell.run(RUN)
    assert failed.status == 1, str(failed)
    assert "so far so good" in failed.out
    assert f'File "{shell.folder / REGISTRY}"' in failed.err
    assert 'raise ValueError("not today")' in failed.err
    assert "run/driver/" not in failed.err
    assert failed.errors == [
        "Error: The run failed: ValueError: not today. Fix it, commit, then push and run again."
    ]
    assert "double" in failed.out
    commit_node(shell, "sys.exit(0)")
    exited = shell.run(RUN)
    assert exited.status == 1, str(exited)
    assert "SystemExit" in exited.errors[0]
    commit_node(
        shell, 'print("to out: äöü ✓")\nprint("to err", file=sys.stderr)\nprint("x" * 60_000 + "!", end="")'
    )
    ran = shell.ok(RUN)
    assert "to out: äöü ✓" in ran.out
    assert "to err" in ran.err
    assert "x" * 60_000 + "!" in ran.out
    assert "Completed 1 out of 1 tasks" in ran.out
    assert doubled(shell, "failing") == b"a,b\n2,4\n6,8\n"


def test_ctrl_c_cancels_the_run(tiny: Callable[[str], Shell]) -> None:
    """Interrupt a run without a terminal: it is cancelled on the cluster, and the command exits with 130."""
    shell = tiny("interrupted")
    commit_node(shell, 'print("sleeping", flush=True)\ntime.sleep(600)')
    started = shell.start(RUN)
    list(started.lines_until("sleeping"))
    started.interrupt()
    result = started.finish()
    assert result.status == 130, str(result)
    assert "cancelled" in result.errors[0]
    with pytest.raises(DatabricksError):
        doubled(shell, "interrupted")


def test_a_second_user_process_is_not_left_behind(tiny: Callable[[str], Shell]) -> None:
    """Change the requirements: a new Python process replaces the old one, so their number stays the same.

    Requirements are installed once in each process: again after `--fresh` and after a lost context. If one is
    invalid, the error contains pip's message, and the pipeline does not start.
    """
    shell = tiny("renewed")
    shell.ok(PUSH)
    shell.ok(RUN)
    before = kernels(shell)
    assert before
    requirements = shell.folder / "requirements.txt"
    requirements.write_text("no such requirement !\n")
    shell.ok("git add .")
    commit_node(shell, "pass")
    failed = shell.fails(RUN, "pip could not install", "requirements.txt", "Invalid requirement")
    assert "Completed" not in failed.out
    requirements.write_text("kedro\n")
    shell.ok("git commit -q -a -m Requirements")
    shell.ok(PUSH)
    for options, installs in (("", True), ("", False), (" --fresh", True), ("", False)):
        assert ("Installing" in shell.ok(RUN + options).out) is installs, options
        assert len(kernels(shell)) == len(before)
    shell.ok("kedro databricks sandbox fault add evict-contexts")
    shell.ok(f"kedro databricks status {PROFILE}")  # the fault applies to the next request, whichever it is
    shell.ok("kedro databricks sandbox fault clear")
    assert "Installing" in shell.ok(RUN).out


def kernels(shell: Shell) -> list[int]:
    """Return the process ids of the kernels of this shell's sandbox."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if _STARTUP in (line := " ".join(process.info["cmdline"] or [])) and str(shell.home) in line
    ]
