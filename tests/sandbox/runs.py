"""Runs and jobs through the SDK, for tests."""

from __future__ import annotations

import base64
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

from databricks.sdk.service import jobs
from databricks.sdk.service.jobs import RunLifeCycleState as Life
from databricks.sdk.service.workspace import ImportFormat, Language

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import RunResultState as Result
    from databricks.sdk.service.jobs import TerminationCodeCode as Code

TIMEOUT = dt.timedelta(seconds=240)  # a busy machine needs minutes to start Spark
SCRIPT = "/Workspace/Shared/script.py"


def put_script(workspace: WorkspaceClient, source: str) -> None:
    """Write the Python file that tasks run."""
    content = base64.b64encode(source.encode()).decode()
    workspace.workspace.import_(
        "/Shared/script.py", content=content, format=ImportFormat.AUTO, overwrite=True
    )


def put_notebook(
    workspace: WorkspaceClient,
    *cells: str,
    path: str = "/Shared/notebook",
    language: Language = Language.PYTHON,
) -> None:
    """Write a notebook of some cells."""
    comment = {Language.SQL: "--", Language.SCALA: "//"}.get(language, "#")
    source = f"{comment} Databricks notebook source\n" + f"\n{comment} COMMAND ----------\n".join(cells)
    content = base64.b64encode(source.encode()).decode()
    workspace.workspace.import_(
        path, content=content, format=ImportFormat.SOURCE, language=language, overwrite=True
    )


def script_task(key: str = "main", **details: Any) -> jobs.SubmitTask:
    """Return a task that runs the script on the running cluster."""
    values = {"existing_cluster_id": RUNNING_ID, **details}
    file = jobs.SparkPythonTask(SCRIPT, parameters=["--x", "a b"])
    return jobs.SubmitTask(task_key=key, spark_python_task=file, **values)


def notebook_task(**details: Any) -> jobs.SubmitTask:
    """Return a task that runs the notebook on the running cluster."""
    notebook = jobs.NotebookTask("/Shared/notebook", base_parameters={"who": "you"})
    return jobs.SubmitTask(task_key="main", notebook_task=notebook, existing_cluster_id=RUNNING_ID, **details)


def ended(workspace: WorkspaceClient, run_id: int) -> jobs.Run:
    """Wait until a run has ended, with any result."""
    deadline = time.monotonic() + TIMEOUT.seconds
    while True:
        run = workspace.jobs.get_run(run_id)
        if run.status and run.status.state is jobs.RunLifecycleStateV2State.TERMINATED:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.05)


def finished(workspace: WorkspaceClient, *tasks: jobs.SubmitTask, **details: Any) -> jobs.Run:
    """Submit a run and wait until it has ended."""
    return ended(workspace, workspace.jobs.submit(tasks=list(tasks), **details).run_id)


def output(workspace: WorkspaceClient, run: jobs.Run) -> jobs.RunOutput:
    """Return the output of a run's first task."""
    assert run.tasks
    run_id = run.tasks[0].run_id
    assert run_id
    return workspace.jobs.get_run_output(run_id)


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
