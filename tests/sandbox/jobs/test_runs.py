"""Runs: the order of tasks, results and access rights; with the SDK, on real processes."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, PermissionDenied, ResourceDoesNotExist
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.jobs import RunLifeCycleState as Life
from databricks.sdk.service.jobs import RunResultState as Result
from databricks.sdk.service.jobs import TerminationCodeCode as Code

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, START_FAILURE_TAG, STOPPED_ID
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from tests.sandbox.notebooks import is_gone
from tests.sandbox.runs import (
    TIMEOUT,
    ended,
    finished,
    notebook_task,
    output,
    put_script,
    script_task,
    state,
    wait_running,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes


def test_tasks_in_order(workspace: WorkspaceClient) -> None:
    """A task waits for those it depends on, and is skipped if one of them fails."""
    put_script(workspace, "import os\nos.mkdir('/dbfs/once')")
    first = script_task("first")
    second = script_task("second", depends_on=[jobs.TaskDependency("first")])
    third = script_task("third", depends_on=[jobs.TaskDependency("second")])
    run = finished(workspace, third, second, first)
    states = {task.task_key: task.state.result_state for task in run.tasks or [] if task.state}
    assert states == {
        "first": Result.SUCCESS,
        "second": Result.FAILED,
        "third": Result.UPSTREAM_FAILED,
    }
    messages = {task.task_key: task.state.state_message for task in run.tasks or [] if task.state}
    assert messages["third"] == "An upstream task failed."
    assert run.state
    assert run.state.state_message == (
        "Task second failed with message: Workload failed, see run output for details. "
        "This caused all downstream tasks to get skipped."
    )


def test_cancel(workspace: WorkspaceClient) -> None:
    """Cancelling ends the process and its children; a run can be deleted only after that."""
    put_script(workspace, "import os, time\nopen('/dbfs/pid', 'w').write(str(os.getpid()))\ntime.sleep(300)")
    run_id = workspace.jobs.submit(tasks=[script_task()]).run_id
    wait_running(workspace, run_id)
    with pytest.raises(InvalidParameterValue, match="active"):
        workspace.jobs.delete_run(run_id)
    deadline = time.monotonic() + 30
    while not (pid := workspace_text(workspace, "/pid")):
        assert time.monotonic() < deadline
    run = workspace.jobs.cancel_run(run_id).result(timeout=TIMEOUT)
    assert state(run) == (Life.TERMINATED, Result.CANCELED, Code.USER_CANCELED)
    assert is_gone(int(pid))
    workspace.jobs.cancel_run(run_id)
    workspace.jobs.delete_run(run_id)
    with pytest.raises(ResourceDoesNotExist):
        workspace.jobs.get_run(run_id)


def workspace_text(workspace: WorkspaceClient, path: str) -> str:
    """Return the text of a DBFS file, empty if it is missing."""
    if not workspace.dbfs.exists(path):
        return ""
    return base64.b64decode(workspace.dbfs.read(path).data or "").decode()


@pytest.mark.parametrize("of_task", [True, False])
def test_a_timeout(workspace: WorkspaceClient, of_task: bool) -> None:
    """The task's timeout and the run's timeout end the run."""
    put_script(workspace, "import time; time.sleep(300)")
    limit: dict[str, Any] = {"timeout_seconds": 1}
    run = finished(workspace, script_task(**(limit if of_task else {})), **({} if of_task else limit))
    assert state(run)[:2] == (Life.TERMINATED, Result.TIMEDOUT)


def test_a_cluster_that_is_stopped_is_started(workspace: WorkspaceClient) -> None:
    """A run starts its stopped cluster; a cluster that terminates during a run fails it."""
    put_script(workspace, "import time; time.sleep(300)")
    run_id = workspace.jobs.submit(tasks=[script_task(existing_cluster_id=STOPPED_ID)]).run_id
    wait_running(workspace, run_id)
    assert workspace.clusters.get(STOPPED_ID).state is compute.State.RUNNING
    workspace.clusters.delete(STOPPED_ID)
    assert state(ended(workspace, run_id)) == (Life.INTERNAL_ERROR, Result.FAILED, Code.CLUSTER_ERROR)


def test_a_new_cluster_that_does_not_start(workspace: WorkspaceClient) -> None:
    """A job cluster does not start: the run fails with its reason."""
    spec = compute.ClusterSpec(
        spark_version=nearest_runtime(), custom_tags={START_FAILURE_TAG: "CLOUD_PROVIDER_LAUNCH_FAILURE"}
    )
    run = finished(workspace, script_task(existing_cluster_id=None, new_cluster=spec))
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.CLUSTER_ERROR)
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in (output(workspace, run).error or "")


def test_a_token_starts_one_run(workspace: WorkspaceClient) -> None:
    """The same idempotency token returns the same run; a token that is too long is refused."""
    put_script(workspace, "")
    runs = {workspace.jobs.submit(tasks=[script_task()], idempotency_token="t").run_id for _ in range(2)}
    assert len(runs) == 1
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.submit(tasks=[script_task()], idempotency_token="t" * 65)
    ended(workspace, runs.pop())


def test_runs_of_others(running: Running, workspace: WorkspaceClient) -> None:
    """Runs of other users cannot be read; a missing run is status 400."""
    put_script(workspace, "")
    run = finished(workspace, script_task())
    assert run.run_id
    other = running.workspace("other@example.com").jobs
    with pytest.raises(PermissionDenied):
        other.get_run(run.run_id)
    assert list(other.list_runs()) == []
    answer = running.http().get("/api/2.1/jobs/runs/get", params={"run_id": 1})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_pages_of_runs(running: Running, workspace: WorkspaceClient) -> None:
    """Runs are listed newest first, in pages of at most 25."""
    put_script(workspace, "")
    ids = [finished(workspace, notebook_task()).run_id for _ in range(3)]
    assert [run.run_id for run in workspace.jobs.list_runs(limit=1)] == ids[::-1]
    with pytest.raises(BadRequest):
        list(workspace.jobs.list_runs(limit=26))


def test_a_restart_of_the_server(start_sandbox: Callable[..., Running]) -> None:
    """After a restart, ended runs have their output, active ones have failed, and jobs exist."""
    first = start_sandbox()
    workspace = first.workspace()
    put_script(workspace, "print('said')")
    done = finished(workspace, script_task())
    put_script(workspace, "import time; time.sleep(300)")
    running = workspace.jobs.submit(tasks=[script_task()]).run_id
    job = workspace.jobs.create(name="kept").job_id
    wait_running(workspace, running)
    first.stop()
    workspace = start_sandbox().workspace()
    assert output(workspace, done).logs == "said\n"
    assert state(workspace.jobs.get_run(running))[:2] == (Life.INTERNAL_ERROR, Result.FAILED)
    assert [one.job_id for one in workspace.jobs.list()] == [job]


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [jobs.SubmitTask(task_key="a", existing_cluster_id=RUNNING_ID)],
        [script_task(), script_task()],
        [script_task(existing_cluster_id="nope")],
        [script_task(existing_cluster_id=None, environment_key="nope")],
        [script_task(depends_on=[jobs.TaskDependency("nope")])],
        [script_task(depends_on=[jobs.TaskDependency("main")])],
    ],
)
def test_what_is_no_run(workspace: WorkspaceClient, tasks: list[jobs.SubmitTask]) -> None:
    """An invalid run is refused and not saved."""
    with pytest.raises((InvalidParameterValue, ResourceDoesNotExist)):
        workspace.jobs.submit(tasks=tasks)
    assert list(workspace.jobs.list_runs()) == []
