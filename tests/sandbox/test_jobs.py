"""Runs and jobs, through the SDK, on real processes; Spark is in test_commands_spark.py."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import time
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    OperationFailed,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.jobs import RunLifeCycleState as Life
from databricks.sdk.service.jobs import RunResultState as Result
from databricks.sdk.service.jobs import TerminationCodeCode as Code
from databricks.sdk.service.workspace import ImportFormat, Language

from kedro_databricks_hybrid.sandbox import job_outcome
from kedro_databricks_hybrid.sandbox.clusters import RUNNING_ID, START_FAILURE_TAG, STOPPED_ID
from kedro_databricks_hybrid.sandbox.runtimes import nearest_runtime
from tests.sandbox.notebooks import is_gone
from tests.sandbox.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Remote, Running
    from databricks.sdk import WorkspaceClient

TIMEOUT = dt.timedelta(seconds=90)
SCRIPT = "/Workspace/Shared/script.py"


def put_script(workspace: WorkspaceClient, source: str) -> None:
    """Write the Python file that tasks run."""
    content = base64.b64encode(source.encode()).decode()
    workspace.workspace.import_(
        "/Shared/script.py", content=content, format=ImportFormat.AUTO, overwrite=True
    )


def put_notebook(workspace: WorkspaceClient, *cells: str, path: str = "/Shared/notebook") -> None:
    """Write a notebook of some cells."""
    source = "# Databricks notebook source\n" + "\n# COMMAND ----------\n".join(cells)
    content = base64.b64encode(source.encode()).decode()
    workspace.workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=Language.PYTHON, overwrite=True
    )


def script_task(key: str = "main", **details: object) -> jobs.SubmitTask:
    """Return a task that runs the script on the running cluster."""
    values = {"existing_cluster_id": RUNNING_ID, **details}
    file = jobs.SparkPythonTask(SCRIPT, parameters=["--x", "a b"])
    return jobs.SubmitTask(task_key=key, spark_python_task=file, **values)


def notebook_task(**details: object) -> jobs.SubmitTask:
    """Return a task that runs the notebook on the running cluster."""
    notebook = jobs.NotebookTask("/Shared/notebook", base_parameters={"who": "you"})
    return jobs.SubmitTask(task_key="main", notebook_task=notebook, existing_cluster_id=RUNNING_ID, **details)


def ended(workspace: WorkspaceClient, run_id: int) -> jobs.Run:
    """Wait until a run has ended, however it does."""
    deadline = time.monotonic() + TIMEOUT.seconds
    while True:
        run = workspace.jobs.get_run(run_id)
        if run.status and run.status.state is jobs.RunLifecycleStateV2State.TERMINATED:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.05)


def finished(workspace: WorkspaceClient, *tasks: jobs.SubmitTask, **details: object) -> jobs.Run:
    """Submit a run and wait until it has ended."""
    return ended(workspace, workspace.jobs.submit(tasks=list(tasks), **details).run_id)


def output(workspace: WorkspaceClient, run: jobs.Run) -> jobs.RunOutput:
    """Return the output of a run's first task."""
    assert run.tasks
    return workspace.jobs.get_run_output(run.tasks[0].run_id)


def state(run: jobs.Run | jobs.RunTask) -> tuple[Life | None, Result | None, Code | None]:
    """Return the life cycle, the result and the reason of a run or a task."""
    assert run.state
    assert run.status
    assert run.status.termination_details
    return run.state.life_cycle_state, run.state.result_state, run.status.termination_details.code


def wait_running(workspace: WorkspaceClient, run_id: int) -> None:
    """Wait until the first task runs."""
    deadline = time.monotonic() + 60
    while True:
        tasks = workspace.jobs.get_run(run_id).tasks
        if tasks and tasks[0].state and tasks[0].state.life_cycle_state is Life.RUNNING:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_python_file(workspace: WorkspaceClient) -> None:
    """The SDK's own waiter is satisfied; the log of the task, not of the run, is to be had."""
    put_script(workspace, "import sys, os\nprint(sys.argv, __name__)\nprint(os.path.basename(__file__))\n")
    run = workspace.jobs.submit_and_wait(tasks=[script_task()], run_name="mine", timeout=TIMEOUT)
    assert state(run) == (Life.TERMINATED, Result.SUCCESS, Code.SUCCESS)
    said = output(workspace, run)
    assert said.logs == f"['{SCRIPT}', '--x', 'a b'] __main__\nscript.py\n"
    assert (said.logs_truncated, said.error, said.notebook_output) == (False, None, None)
    assert said.metadata
    assert (said.metadata.run_name, run.run_type) == ("mine", jobs.RunType.SUBMIT_RUN)
    with pytest.raises(InvalidParameterValue, match="multiple tasks is not supported"):
        workspace.jobs.get_run_output(run.run_id)


def test_a_failed_task(workspace: WorkspaceClient) -> None:
    """The run ends as an internal error, says which task, and the task's output has the traceback."""
    put_script(workspace, "print('before')\n1 / 0\n")
    submitted = workspace.jobs.submit(tasks=[script_task("only")])
    with pytest.raises(OperationFailed, match="INTERNAL_ERROR"):
        submitted.result(timeout=TIMEOUT)
    run = ended(workspace, submitted.run_id)
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.RUN_EXECUTION_ERROR)
    assert run.state
    assert run.state.state_message == (
        "Task only failed with message: Workload failed, see run output for details."
    )
    assert run.tasks
    assert state(run.tasks[0])[1] is Result.FAILED
    said = output(workspace, run)
    assert (said.logs, said.error) == ("before\n", "ZeroDivisionError: division by zero")
    assert f"File {SCRIPT}:2" in (said.error_trace or "")
    assert run.run_name == "Untitled"


@pytest.mark.parametrize(("code", "result"), [("0", Result.SUCCESS), ("3", Result.FAILED)])
def test_sys_exit(workspace: WorkspaceClient, code: str, result: Result) -> None:
    """Status 0 is success, any other one is not."""
    put_script(workspace, f"import sys\nsys.exit({code})\n")
    assert state(finished(workspace, script_task()))[1] is result


def test_a_notebook(workspace: WorkspaceClient) -> None:
    """Parameters are widgets; the value it exits with is its result, which has no logs."""
    put_notebook(
        workspace,
        "dbutils.widgets.text('who', 'nobody'); dbutils.widgets.text('what', 'default')",
        "# MAGIC %md\n# MAGIC Words.",
        "import os\nsaid = [dbutils.widgets.get('who'), dbutils.widgets.get('what'), os.getcwd()]",
        "dbutils.notebook.exit(str(said))",
        "raise RuntimeError('never')",
    )
    run = finished(workspace, notebook_task())
    assert state(run) == (Life.TERMINATED, Result.SUCCESS, Code.SUCCESS)
    said = output(workspace, run)
    assert said.notebook_output
    assert said.notebook_output.result == "['you', 'default', '/Workspace/Shared']"
    assert (said.notebook_output.truncated, said.logs) == (False, None)


def test_a_jupyter_notebook_that_restarts_python(workspace: WorkspaceClient) -> None:
    """Variables go, parameters stay; what fails is the error of the run."""
    cells = ["x = 1", "dbutils.library.restartPython()", "print(dbutils.widgets.get('who'))\nx"]
    document = {
        "cells": [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    content = base64.b64encode(json.dumps(document).encode()).decode()
    workspace.workspace.import_("/Shared/notebook", content=content, format=ImportFormat.JUPYTER)
    run = finished(workspace, notebook_task())
    assert state(run)[1] is Result.FAILED
    assert output(workspace, run).error == "NameError: name 'x' is not defined"


def test_a_notebook_that_is_not_there(workspace: WorkspaceClient) -> None:
    """Said by the run, not at submission."""
    run = finished(workspace, notebook_task())
    assert state(run)[:2] == (Life.INTERNAL_ERROR, Result.FAILED)
    assert 'Unable to access the notebook "/Shared/notebook"' in (output(workspace, run).error or "")


def test_an_entry_point_of_a_wheel_on_a_new_cluster(workspace: WorkspaceClient) -> None:
    """The cluster is made for the run, gets the library, and is terminated with the run."""
    name, content = wheel(
        "ours", entry_point="main=ours:main", ours="import sys\ndef main(): print(sys.argv)"
    )
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content))
    task = jobs.SubmitTask(
        task_key="main",
        python_wheel_task=jobs.PythonWheelTask(
            package_name="ours", entry_point="main", named_parameters={"env": "base"}
        ),
        new_cluster=compute.ClusterSpec(spark_version=nearest_runtime(), num_workers=0),
        libraries=[compute.Library(whl=f"/Volumes/main/default/data/{name}")],
    )
    run = finished(workspace, task)
    assert output(workspace, run).logs == "['main', '--env=base']\n"
    assert run.tasks
    assert run.tasks[0].cluster_instance
    cluster_id = run.tasks[0].cluster_instance.cluster_id
    assert cluster_id not in {None, RUNNING_ID, STOPPED_ID}
    cluster = workspace.clusters.wait_get_cluster_terminated(str(cluster_id))
    assert cluster.cluster_source is compute.ClusterSource.JOB


def test_serverless_with_dependencies(workspace: WorkspaceClient) -> None:
    """An environment of its own, with what it names installed; without an environment it is refused."""
    name, content = wheel("ours", ours="VALUE = 7")
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content))
    put_script(workspace, "import os, ours\nprint(ours.VALUE, os.environ['DATABRICKS_RUNTIME_VERSION'])")
    environment = jobs.JobEnvironment(
        "default",
        compute.Environment(environment_version="4", dependencies=[f"/Volumes/main/default/data/{name}"]),
    )
    task = script_task(existing_cluster_id=None, environment_key="default")
    run = finished(workspace, task, environments=[environment])
    assert output(workspace, run).logs == "7 client.4.0\n"
    environment.spec = compute.Environment(environment_version="4", dependencies=["/Volumes/nothing.whl"])
    run = finished(workspace, task, environments=[environment])
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.LIBRARY_INSTALLATION_ERROR)
    with pytest.raises(InvalidParameterValue, match="environment_key"):
        workspace.jobs.submit(tasks=[script_task(existing_cluster_id=None)])


@pytest.mark.parametrize("kind", ["git_branch", "git_tag", "git_commit"])
def test_code_from_git(workspace: WorkspaceClient, remote: Remote, kind: str) -> None:
    """The files of a branch, a tag or a commit; the run says which commit that was."""
    files = {"jobs/run.py": "import sys; sys.path.insert(0, '/databricks/git_source/src')\nprint('from git')"}
    commit = remote.commit({**files, "src/package/value.py": "VALUE = 1"})
    remote.git("tag", "v1")
    remote.git("push", "-q", "origin", "v1")
    if kind != "git_branch":
        remote.commit({"jobs/run.py": "print('newer')"})
    ref = {"git_branch": "main", "git_tag": "v1", "git_commit": commit}[kind]
    source = jobs.GitSource(f"file://{remote.bare}", jobs.GitProvider.GIT_HUB, **{kind: ref})
    task = jobs.SubmitTask(
        task_key="main",
        existing_cluster_id=RUNNING_ID,
        spark_python_task=jobs.SparkPythonTask("jobs/run.py", source=jobs.Source.GIT),
    )
    run = finished(workspace, task, git_source=source)
    assert output(workspace, run).logs == "from git\n"
    assert run.git_source
    assert run.git_source.git_snapshot
    assert run.git_source.git_snapshot.used_commit == commit
    source = jobs.GitSource(f"file://{remote.bare}", jobs.GitProvider.GIT_HUB, **{kind: "0" * 40})
    run = finished(workspace, task, git_source=source)
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.REPOSITORY_CHECKOUT_FAILED)


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
    assert run.state
    assert "Task second failed" in (run.state.state_message or "")


def test_cancel(workspace: WorkspaceClient) -> None:
    """Asynchronous; the process and what it started are gone, and the run is deleted only then."""
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
    """Return the text of a DBFS file, empty if it is not there."""
    if not workspace.dbfs.exists(path):
        return ""
    return base64.b64decode(workspace.dbfs.read(path).data or "").decode()


@pytest.mark.parametrize("of_task", [True, False])
def test_a_timeout(workspace: WorkspaceClient, of_task: bool) -> None:
    """Of the task or of the run."""
    put_script(workspace, "import time; time.sleep(300)")
    limit = {"timeout_seconds": 1}
    run = finished(workspace, script_task(**(limit if of_task else {})), **({} if of_task else limit))
    assert state(run)[:2] == (Life.TERMINATED, Result.TIMEDOUT)


def test_a_cluster_that_is_stopped_is_started(workspace: WorkspaceClient) -> None:
    """And one that ends in the middle of a run fails it."""
    put_script(workspace, "import time; time.sleep(300)")
    run_id = workspace.jobs.submit(tasks=[script_task(existing_cluster_id=STOPPED_ID)]).run_id
    wait_running(workspace, run_id)
    assert workspace.clusters.get(STOPPED_ID).state is compute.State.RUNNING
    workspace.clusters.delete(STOPPED_ID)
    assert state(ended(workspace, run_id)) == (Life.INTERNAL_ERROR, Result.FAILED, Code.CLUSTER_ERROR)


def test_a_new_cluster_that_does_not_start(workspace: WorkspaceClient) -> None:
    """The run says so."""
    spec = compute.ClusterSpec(
        spark_version=nearest_runtime(), custom_tags={START_FAILURE_TAG: "CLOUD_PROVIDER_LAUNCH_FAILURE"}
    )
    run = finished(workspace, script_task(existing_cluster_id=None, new_cluster=spec))
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.CLUSTER_ERROR)
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in (output(workspace, run).error or "")


def test_long_logs_keep_their_end(workspace: WorkspaceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bytes are kept, and the output says that it is cut."""
    monkeypatch.setattr(job_outcome, "MAX_OUTPUT", 100)
    put_script(workspace, "for number in range(1000): print(number)")
    said = output(workspace, finished(workspace, script_task()))
    assert said.logs_truncated
    assert len(said.logs or "") == 100
    assert (said.logs or "").endswith("998\n999\n")


def test_a_token_starts_one_run(workspace: WorkspaceClient) -> None:
    """The same token gives the same run; one that is too long is refused."""
    put_script(workspace, "")
    runs = {workspace.jobs.submit(tasks=[script_task()], idempotency_token="t").run_id for _ in range(2)}
    assert len(runs) == 1
    with pytest.raises(InvalidParameterValue):
        workspace.jobs.submit(tasks=[script_task()], idempotency_token="t" * 65)
    ended(workspace, runs.pop())


def test_jobs_that_are_saved(workspace: WorkspaceClient) -> None:
    """Created, changed, run with other parameters, listed with their runs, deleted."""
    put_script(workspace, "import sys; print(sys.argv[1:])")
    task = jobs.Task(
        task_key="main", existing_cluster_id=RUNNING_ID, spark_python_task=jobs.SparkPythonTask(SCRIPT)
    )
    job_id = workspace.jobs.create(name="nightly", tasks=[task]).job_id
    assert job_id
    run = workspace.jobs.run_now(job_id, python_params=["a"]).result(timeout=TIMEOUT)
    assert (run.run_type, output(workspace, run).logs) == (jobs.RunType.JOB_RUN, "['a']\n")
    assert [one.run_id for one in workspace.jobs.list_runs(job_id=job_id)] == [run.run_id]
    assert [one.job_id for one in workspace.jobs.list(name="NIGHTLY")] == [job_id]
    workspace.jobs.update(job_id, new_settings=jobs.JobSettings(name="daily"))
    settings = workspace.jobs.get(job_id).settings
    assert settings
    assert (settings.name, len(settings.tasks or [])) == ("daily", 1)
    workspace.jobs.reset(job_id, jobs.JobSettings(name="empty"))
    assert list(workspace.jobs.list(name="nightly")) == []
    workspace.jobs.delete(job_id)
    for call in (workspace.jobs.get, workspace.jobs.run_now, workspace.jobs.delete):
        with pytest.raises((InvalidParameterValue, ResourceDoesNotExist), match="does not exist"):
            call(job_id)


def test_one_run_of_a_job_at_a_time(workspace: WorkspaceClient) -> None:
    """A second one is skipped, which is its end."""
    put_script(workspace, "import time; time.sleep(300)")
    task = jobs.Task(
        task_key="main", existing_cluster_id=RUNNING_ID, spark_python_task=jobs.SparkPythonTask(SCRIPT)
    )
    job_id = workspace.jobs.create(tasks=[task]).job_id
    assert job_id
    first = workspace.jobs.run_now(job_id).run_id
    second = ended(workspace, workspace.jobs.run_now(job_id).run_id)
    assert state(second)[:2] == (Life.SKIPPED, Result.MAXIMUM_CONCURRENT_RUNS_REACHED)
    assert [run.run_id for run in workspace.jobs.list_runs(active_only=True)] == [first]
    workspace.jobs.cancel_all_runs(job_id=job_id)
    assert state(ended(workspace, first))[1] is Result.CANCELED


def test_runs_of_others(running: Running, workspace: WorkspaceClient) -> None:
    """They cannot be seen; one that does not exist is a bad request on the wire."""
    put_script(workspace, "")
    run = finished(workspace, script_task())
    other = running.workspace("other@example.com").jobs
    with pytest.raises(PermissionDenied):
        other.get_run(run.run_id)
    assert list(other.list_runs()) == []
    answer = running.http().get("/api/2.1/jobs/runs/get", params={"run_id": 1})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_pages_of_runs(running: Running, workspace: WorkspaceClient) -> None:
    """The newest first; not more than 25 at once."""
    put_script(workspace, "")
    ids = [finished(workspace, notebook_task()).run_id for _ in range(3)]
    assert [run.run_id for run in workspace.jobs.list_runs(limit=1)] == ids[::-1]
    with pytest.raises(BadRequest):
        list(workspace.jobs.list_runs(limit=26))


def test_a_restart_of_the_server(start_sandbox: Callable[..., Running]) -> None:
    """What had ended is known, with its output; what ran has failed; jobs are there."""
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
    """Refused at submission; nothing is kept of it."""
    with pytest.raises((InvalidParameterValue, ResourceDoesNotExist)):
        workspace.jobs.submit(tasks=tasks)
    assert list(workspace.jobs.list_runs()) == []
