"""`kedro databricks notebook` and `deploy`: the generated notebook, the job's settings, and its runs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import OperationFailed
from databricks.sdk.service.jobs import NotebookTask, SubmitTask

from tests.e2e.test_run import PROFILE, PUSH, commit_node, doubled
from tests.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

NOTEBOOK = f"kedro databricks notebook {PROFILE}"
DEPLOY = f"kedro databricks deploy {PROFILE} --name"


def test_the_notebook_of_a_project(tiny: Callable[[str], Shell]) -> None:
    """Write the notebook, push it, run it as two tasks; a second call keeps it as it is unless forced."""
    shell = tiny("notebook")
    first = shell.ok(NOTEBOOK)
    assert "Wrote notebooks/run_on_databricks.py" in first.out
    assert "/#workspace/Repos/user@example.com/notebook/notebooks/run_on_databricks" in first.out
    shell.fails(f"{NOTEBOOK} --ipynb", "already exists", "Delete")
    shell.ok("git add .")
    shell.ok("git commit -q -m Notebook")
    shell.ok(PUSH)
    place = "/Repos/user@example.com/notebook/notebooks/run_on_databricks"
    number = shell.client().workspace.get_status(place).object_id
    again = shell.ok(NOTEBOOK)
    assert "is up to date" in again.out
    assert f"/#notebook/{number}" in again.out
    cluster = next(c.cluster_id for c in shell.client().clusters.list() if c.cluster_name == "sandbox")
    tasks = [
        SubmitTask(key, existing_cluster_id=cluster, notebook_task=NotebookTask(place))
        for key in ("one", "two")
    ]
    run = shell.client().jobs.submit_and_wait(tasks=tasks)
    assert [str(task.state and task.state.result_state) for task in run.tasks or []] == [
        "RunResultState.SUCCESS"
    ] * 2
    assert doubled(shell, "notebook") == b"a,b\n2,4\n6,8\n"
    file = shell.folder / "notebooks/run_on_databricks.py"
    file.write_text(file.read_text() + "# mine\n")
    assert "is left unchanged" in shell.ok(NOTEBOOK).out
    assert file.read_text().endswith("# mine\n")
    shell.ok(f"{NOTEBOOK} --force")
    assert not file.read_text().endswith("# mine\n")


def test_the_notebook_in_jupyters_format(tiny: Callable[[str], Shell]) -> None:
    """Write the notebook as .ipynb, push and deploy it: the job runs it."""
    shell = tiny("jupyter")
    assert "Wrote notebooks/run_on_databricks.ipynb" in shell.ok(f"{NOTEBOOK} --ipynb").out
    document = json.loads((shell.folder / "notebooks/run_on_databricks.ipynb").read_text("utf-8"))
    assert document["nbformat"] == 4
    assert any("%load_ext kedro.ipython" in "".join(cell["source"]) for cell in document["cells"])
    shell.ok("git add .")
    shell.ok("git commit -q -m Notebook")
    shell.ok(PUSH)
    ran = shell.ok(f"{DEPLOY}=jupyter --run")
    assert "Completed 1 out of 1 tasks" in ran.out
    assert doubled(shell, "jupyter") == b"a,b\n2,4\n6,8\n"


def test_a_job_is_made_once_and_updated_in_place(tiny: Callable[[str], Shell]) -> None:
    """Deploy creates one job, though an answer is lost, and updates it; it keeps manual changes.

    A job of the same name that somebody else created is updated only with `--force`.
    """
    shell = tiny("deployed")
    shell.fails(f"{DEPLOY}=deployed", "has no branch 'main'", "git push origin main")
    shell.ok("git push -q origin main")
    shell.fails(f"{DEPLOY}=deployed", "run_on_databricks", "is missing", "kedro databricks notebook")
    commit_notebook(shell)
    command = f"{DEPLOY}=deployed --schedule='0 0 6 * * ?' --timezone=Europe/Berlin --tag=team=shop"
    planned = json.loads(shell.ok(f"{command} --dry-run").out.splitlines()[-1])
    assert planned["git_source"]["git_branch"] == "main"
    assert jobs_called(shell, "deployed") == []
    shell.ok("kedro databricks sandbox fault add reset-after --method POST --path '*/jobs/create'")
    assert "Created the job 'deployed'" in shell.ok(command).out
    (number,) = jobs_called(shell, "deployed")
    assert "is up to date" in shell.ok(command).out
    client = shell.client()
    client.api_client.do(
        "POST", "/api/2.2/jobs/update",
        body={"job_id": number, "new_settings": {"schedule": {
            "quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Europe/Berlin", "pause_status": "PAUSED"
        }, "email_notifications": {"on_failure": ["me@example.com"]}}},
    )  # fmt: skip
    assert "is up to date" in shell.ok(command).out
    changed = shell.ok(command.replace("0 0 6", "0 0 7"))
    assert "Updated the job 'deployed' (schedule, tags)" in changed.out
    assert jobs_called(shell, "deployed") == [number]
    settings = client.jobs.get(number).settings
    assert settings is not None
    assert settings.schedule is not None
    assert settings.schedule.quartz_cron_expression == "0 0 7 * * ?"
    assert str(settings.schedule.pause_status) == "PauseStatus.PAUSED"
    assert settings.email_notifications is not None
    foreign = client.api_client.do("POST", "/api/2.2/jobs/create", body={"name": "theirs"})
    shell.fails(f"{DEPLOY}=theirs", "theirs", "did not create", "--force")
    assert "Updated the job 'theirs'" in shell.ok(f"{DEPLOY}=theirs --force").out
    assert jobs_called(shell, "theirs") == [dict(foreign)["job_id"]]


def test_a_deployed_job_runs(tiny: Callable[[str], Shell]) -> None:
    """`--run` follows the job; a run that Databricks starts has its own log and may change parameters.

    Relative paths in requirements.txt are relative to the project, not to the notebook.
    """
    shell = tiny("scheduled")
    write_wheel(shell.folder / "wheels", "kdh-probe", "1.0")
    (shell.folder / "requirements.txt").write_text("kedro\n./wheels/kdh_probe-1.0-py3-none-any.whl\n")
    commit_notebook(shell)
    commit_node(shell, 'import kdh_probe\nprint("probe", kdh_probe.VERSION)')
    ran = shell.ok(f"{DEPLOY}=scheduled --run")
    assert "probe 1.0" in ran.out
    assert "Completed 1 out of 1 tasks" in ran.out
    assert "1 node completed" in ran.out
    assert doubled(shell, "scheduled") == b"a,b\n2,4\n6,8\n"
    (number,) = jobs_called(shell, "scheduled")
    client = shell.client()
    while list(client.jobs.list_runs(job_id=number, active_only=True)):
        time.sleep(0.1)  # a second run of a job with an active run is skipped
    wait = client.jobs.run_now(number, notebook_params={"pipelines": "nonesuch"})
    with pytest.raises(OperationFailed, match="Task kedro failed"):
        client.jobs.wait_get_run_job_terminated_or_skipped(wait.run_id)
    rows = json.loads(shell.ok(f"kedro databricks runs --json {PROFILE}").out.splitlines()[-1])
    assert [row["outcome"] for row in rows] == ["failed", "completed"]
    failed = shell.run(f"kedro databricks logs {PROFILE}")
    assert "nonesuch" in failed.errors[0]
    assert failed.status == 1


def commit_notebook(shell: Shell) -> None:
    """Write the project's notebook, commit it and push it to the remote."""
    shell.ok(NOTEBOOK)
    shell.ok("git add .")
    shell.ok("git commit -q -m Notebook")
    shell.ok("git push -q origin main")


def jobs_called(shell: Shell, name: str) -> list[int]:
    """Return the ids of the jobs with a name."""
    return [job.job_id or 0 for job in shell.client().jobs.list(name=name)]
