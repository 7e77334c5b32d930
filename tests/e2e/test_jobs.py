"""Runs as jobs: log, exit status, cancelling and requirements, and failures before the pipeline starts."""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.project import own_package
from tests.e2e.test_control import FAULT
from tests.e2e.test_run import PROFILE, PUSH, RUN, commit_node, doubled
from tests.e2e.test_runs import let_go, run_id, waiting
from tests.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from databricks.sdk.service.jobs import Run

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_WHEEL = "kdh_probe-1.0-py3-none-any.whl"
_VOLUME = "/Volumes/main/default/data"


def jobs_of(shell: Shell, since: int) -> list[Run]:
    """Wait until all job runs since a time (in ms) have ended, and return them."""
    while True:
        found = [run for run in shell.client().jobs.list_runs() if (run.start_time or 0) >= since]
        if all(run.end_time for run in found):
            return [shell.client().jobs.get_run(run.run_id or 0) for run in found]
        time.sleep(0.1)


def now(shell: Shell) -> int:
    """Return a time, in ms, after the start of every earlier job run."""
    return max([run.start_time or 0 for run in shell.client().jobs.list_runs(limit=1)], default=0) + 1


def write(shell: Shell, **files: str) -> None:
    """Write files into the project and stage them; a name without a dot is an env, for its databricks.yml."""
    for name, text in files.items():
        path = shell.folder / (f"conf/{name}/databricks.yml" if "." not in name else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shell.ok("git add .")


def test_a_job_is_a_run_like_any_other(tiny: Callable[[str], Shell]) -> None:
    """Run as a job and lose the submit's answer: one job run, with log, results and an entry in `runs`."""
    shell = tiny("job-run")
    shell.ok(PUSH)
    began = now(shell)
    shell.ok("kedro databricks sandbox fault add reset-after --method POST --path '*/jobs/runs/submit'")
    ran = shell.ok(f"{RUN} --job --json --params=x=1")
    assert "as a job on the cluster sandbox, env databricks" in ran.err
    assert "Completed 1 out of 1 tasks" in ran.err
    outcome = json.loads(ran.out.splitlines()[-1])
    assert (outcome["outcome"], outcome["backend"]) == ("completed", "job")
    assert [node["name"] for node in outcome["nodes"]] == ["double"]
    assert doubled(shell, "job-run") == b"a,b\n2,4\n6,8\n"
    (run,) = jobs_of(shell, began)
    assert outcome["page"].endswith(f"/run/{run.run_id}")
    assert outcome["run_id"] in shell.ok(f"kedro databricks runs {PROFILE}").out
    assert "Completed 1 out of 1 tasks" in shell.ok(f"kedro databricks logs {PROFILE}").out


def test_a_failing_node_on_serverless_compute(tiny: Callable[[str], Shell]) -> None:
    """A run on serverless becomes a job, installs no pyspark, and shows the failing node's local path."""
    shell = tiny("serverless-run")
    write(
        shell,
        cloud=f"data: {{root: {_VOLUME}/serverless-run}}\ncompute: {{cluster: serverless}}\n",
        **{"requirements.txt": f"pyspark\nkedro-databricks-hybrid\n./wheels/{_WHEEL}  # ours\n"},
    )
    write_wheel(shell.folder / "wheels", "kdh-probe", "1.0")
    shell.ok("git add .")
    commit_node(
        shell,
        'import kdh_probe\nprint("probe", kdh_probe.VERSION, flush=True)\nraise ValueError("not today")',
    )
    shell.ok(f"{PUSH} --env=cloud")
    shell.fails(f"{RUN} --serverless", "cannot reach the data root dbfs:/", "--volume=")
    began = now(shell)
    failed = shell.run(f"{RUN} --env=cloud")
    assert failed.status == 1, str(failed)
    assert "Serverless compute runs no commands, so this run becomes a job." in failed.out
    assert "Not installed from requirements.txt, as the runtime has it: pyspark" in failed.out
    assert "probe 1.0" in failed.out
    assert "ValueError: not today" in failed.errors[0]
    assert f'File "{shell.folder / "src/tiny_shop/pipeline_registry.py"}"' in failed.err
    (run,) = jobs_of(shell, began)
    assert run.state is not None
    assert str(run.state.result_state) == "RunResultState.FAILED"


def test_a_workspace_without_environments_for_notebooks(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """No environments for notebook tasks: run and deploy say so, and the notebook installs with %pip."""
    shell = tiny("no-environment")
    wheel = write_wheel(tmp_path, "kdh-probe", "1.0")
    own = f"kedro_databricks_hybrid-{own_package.version()}-py3-none-any.whl"
    for name, content in ((wheel.name, wheel.read_bytes()), (own, own_package.wheel())):
        shell.client().files.upload(f"{_VOLUME}/{name}", BytesIO(content), overwrite=True)
    write(
        shell,
        cloud=f"data: {{root: {_VOLUME}/no-environment}}\ncompute: {{cluster: serverless}}\n",
        **{"requirements.txt": f"{_VOLUME}/{own}\n{_VOLUME}/{wheel.name}\n"},
    )
    shell.ok(f"kedro databricks notebook --env=cloud {PROFILE}")
    shell.ok("git add .")
    commit_node(shell, 'import kdh_probe\nprint("probe", kdh_probe.VERSION)')
    shell.ok(f"{PUSH} --env=cloud")
    switch = "kedro databricks sandbox switch"
    shell.ok(f"{switch} --no-task-environments")
    try:
        for run in (f"{RUN} --env=cloud", f"kedro databricks deploy --env=cloud --run {PROFILE}"):
            ran = shell.ok(run)
            assert "This workspace takes no environment for notebook tasks" in ran.out
            assert "probe 1.0" in ran.out
        again = shell.ok(f"kedro databricks deploy --env=cloud {PROFILE}").out
        assert "is up to date" in again
    finally:
        shell.ok(f"{switch} --task-environments")


def test_a_job_is_followed_and_cancelled_from_elsewhere(tiny: Callable[[str], Shell]) -> None:
    """Detach, attach and cancel a run on a job cluster: `attach` exits with 130, and the job is cancelled.

    While the run is polled, answers with status 500 do not end `attach`.
    """
    shell = tiny("cancelled-job")
    cluster = "{spark_version: 17.3.x-scala2.13, node_type_id: local, num_workers: 0}"
    folder = "/Workspace/Repos/{user}/cancelled-job"
    write(
        shell,
        base=f"code: {{folder: '{folder}'}}\ncompute: {{job_cluster: {cluster}}}\n",
        **{"requirements.txt": "kedro-databricks-hybrid\n"},
    )
    commit_node(shell, waiting(shell))
    began = now(shell)
    one = run_id(shell.ok(f"{RUN} --job --detach"))
    attached = shell.start(f"kedro databricks attach {one} {PROFILE}")
    list(attached.lines_until("waiting"))
    shell.ok(f"{FAULT} add status --status=500 --path=*/jobs/runs/get")
    while not re.search(r'"struck": [1-9]', shell.ok(f"{FAULT} list --json").out):
        assert attached.process.poll() is None
    shell.ok(f"{FAULT} clear")
    assert "was cancelled" in shell.ok(f"kedro databricks cancel {PROFILE}").out
    result = attached.finish()
    assert result.status == 130, str(result)
    (run,) = jobs_of(shell, began)
    assert run.state is not None
    assert str(run.state.result_state) == "RunResultState.CANCELED"
    assert f"{one}  cancelled" in shell.ok(f"kedro databricks runs {PROFILE}").out
    let_go(shell)


def test_a_job_that_fails_before_the_pipeline_begins(tiny: Callable[[str], Shell]) -> None:
    """Installing a requirement fails: one line has Databricks' message and the address of the run's page."""
    shell = tiny("failed-before")
    write(
        shell,
        cloud=f"data: {{root: {_VOLUME}/failed-before}}\ncompute: {{cluster: serverless}}\n",
        **{"requirements.txt": "nonesuch @ file:///nonesuch-1-py3-none-any.whl\n"},
    )
    commit_node(shell, "pass")
    shell.ok(f"{PUSH} --env=cloud")
    shell.fails(f"{RUN} --env=cloud", "LIBRARY_INSTALLATION_ERROR", "nonesuch", "http://127.0.0.1", "/run/")
    assert "failed" in shell.ok(f"kedro databricks runs --env=cloud {PROFILE}").out
