"""Saved jobs, through the SDK, on real processes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, ResourceDoesNotExist
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.jobs import RunLifeCycleState as Life
from databricks.sdk.service.jobs import RunResultState as Result
from databricks.sdk.service.jobs import TerminationCodeCode as Code

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from tests.sandbox.runs import SCRIPT, TIMEOUT, ended, output, put_notebook, put_script, state, wait_running

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

pytestmark = pytest.mark.processes


def test_jobs_that_are_saved(workspace: WorkspaceClient) -> None:
    """A job is created, changed, run with other parameters, listed with its runs, and deleted."""
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
    """A second run of a job is skipped, or waits if the job has a queue."""
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
    workspace.jobs.update(job_id, new_settings=jobs.JobSettings(queue=jobs.QueueSettings(enabled=True)))
    third, fourth = (workspace.jobs.run_now(job_id).run_id for _ in range(2))
    waiting = workspace.jobs.get_run(third).state
    assert waiting
    assert waiting.life_cycle_state is Life.QUEUED
    workspace.jobs.cancel_run(first)
    wait_running(workspace, third)
    workspace.jobs.cancel_all_runs(job_id=job_id)
    assert [state(ended(workspace, run))[1] for run in (first, third, fourth)] == [Result.CANCELED] * 3


FULL = jobs.JobSettings(
    name="nightly",
    description="Every night.",
    tags={"team": "iris", "kedro": ""},
    schedule=jobs.CronSchedule("0 0 3 * * ?", "Europe/Berlin", pause_status=jobs.PauseStatus.PAUSED),
    parameters=[jobs.JobParameterDefinition("env", "databricks"), jobs.JobParameterDefinition("who", "")],
    email_notifications=jobs.JobEmailNotifications(on_failure=["user@example.com"]),
    webhook_notifications=jobs.WebhookNotifications(on_failure=[jobs.Webhook("1")]),
    notification_settings=jobs.JobNotificationSettings(no_alert_for_canceled_runs=True),
    health=jobs.JobsHealthRules(
        [
            jobs.JobsHealthRule(
                jobs.JobsHealthMetric.RUN_DURATION_SECONDS, jobs.JobsHealthOperator.GREATER_THAN, 9
            )
        ]
    ),
    git_source=jobs.GitSource("https://example.com/r.git", jobs.GitProvider.GIT_HUB, git_branch="main"),
    queue=jobs.QueueSettings(enabled=True),
    run_as=jobs.JobRunAs(user_name="user@example.com"),
    max_concurrent_runs=3,
    timeout_seconds=7200,
    edit_mode=jobs.JobEditMode.UI_LOCKED,
    format=jobs.Format.MULTI_TASK,
    performance_target=jobs.PerformanceTarget.STANDARD,
    job_clusters=[
        jobs.JobCluster("small", compute.ClusterSpec(spark_version=nearest_runtime(), num_workers=0))
    ],
    environments=[jobs.JobEnvironment("default", compute.Environment(environment_version="4"))],
    tasks=[
        jobs.Task(
            task_key="first",
            job_cluster_key="small",
            notebook_task=jobs.NotebookTask(
                "/Shared/notebook", base_parameters={"who": "nobody"}, source=jobs.Source.WORKSPACE
            ),
            libraries=[compute.Library(pypi=compute.PythonPyPiLibrary("kedro"))],
            timeout_seconds=60,
            max_retries=2,
            min_retry_interval_millis=1000,
            retry_on_timeout=True,
            run_if=jobs.RunIf.ALL_SUCCESS,
            email_notifications=jobs.TaskEmailNotifications(on_start=["user@example.com"]),
            description="The first one.",
        ),
        jobs.Task(
            task_key="second",
            environment_key="default",
            spark_python_task=jobs.SparkPythonTask("run.py", parameters=["{{job.parameters.who}}"]),
            depends_on=[jobs.TaskDependency("first")],
            run_if=jobs.RunIf.ALL_DONE,
            timeout_seconds=0,
            email_notifications=jobs.TaskEmailNotifications(),
        ),
    ],
)


def test_every_setting_comes_back(workspace: WorkspaceClient) -> None:
    """Get and list return every setting, also after reset and update, which merges arrays by key."""
    given = {name: getattr(FULL, name) for name in FULL.as_dict()}
    job_id = workspace.jobs.create(**given).job_id
    assert job_id

    def settings() -> jobs.JobSettings:
        found = workspace.jobs.get(job_id).settings
        assert found
        return found

    assert settings().as_dict() == {**FULL.as_dict(), "name": "nightly"}
    listed = next(iter(workspace.jobs.list(expand_tasks=True)))
    assert listed.settings
    assert listed.settings.as_dict() == FULL.as_dict()
    assert FULL.tasks
    second = dataclasses.replace(FULL.tasks[1], description="changed")
    changes = jobs.JobSettings(tags={"team": "other"}, tasks=[second])
    workspace.jobs.update(job_id, new_settings=changes, fields_to_remove=["schedule", "job_clusters/none"])
    expected = {**FULL.as_dict(), "tags": {"team": "other"}}
    expected["tasks"][1]["description"] = "changed"
    del expected["schedule"]
    assert settings().as_dict() == expected
    workspace.jobs.reset(job_id, FULL)
    assert settings().as_dict() == FULL.as_dict()


@pytest.mark.parametrize(("git_source", "source"), [(None, "WORKSPACE"), (FULL.git_source, "GIT")])
def test_settings_that_were_not_given(
    workspace: WorkspaceClient, git_source: jobs.GitSource | None, source: str
) -> None:
    """Get fills in the settings that the real service does, and sorts the tasks that a task depends on."""
    cluster = {"existing_cluster_id": RUNNING_ID}
    task = {"notebook_task": {"notebook_path": "a"}, **cluster}
    after = [{"task_key": "c"}, {"task_key": "b"}]
    tasks = [{"task_key": key, **task} for key in "bc"] + [{"task_key": "d", "depends_on": after, **task}]
    body = {"name": "a", "tasks": tasks, **({"git_source": git_source.as_dict()} if git_source else {})}
    job: Any = workspace.api_client.do("POST", "/api/2.2/jobs/create", body=body)
    found: Any = workspace.api_client.do("GET", "/api/2.2/jobs/get", query=job)
    settings = found["settings"]
    assert {name: settings[name] for name in settings.keys() - body.keys()} == {
        "email_notifications": {},
        "webhook_notifications": {},
        "timeout_seconds": 0,
        "max_concurrent_runs": 1,
        "format": "MULTI_TASK",
    }
    assert settings["tasks"][2] == {
        "task_key": "d",
        "depends_on": after[::-1],
        "notebook_task": {"notebook_path": "a", "source": source},
        "run_if": "ALL_SUCCESS",
        "timeout_seconds": 0,
        "email_notifications": {},
        **cluster,
    }


def test_a_job_of_many_tasks(workspace: WorkspaceClient) -> None:
    """API 2.2 returns a hundred tasks in a page; the SDK joins the pages."""
    tasks = [
        jobs.Task(
            f"t{number}", existing_cluster_id=RUNNING_ID, spark_python_task=jobs.SparkPythonTask(SCRIPT)
        )
        for number in range(150)
    ]
    job_id = workspace.jobs.create(name="wide", tasks=tasks).job_id
    assert job_id
    page = workspace.api_client.do("GET", "/api/2.2/jobs/get", query={"job_id": job_id})
    assert isinstance(page, dict)
    assert (len(page["settings"]["tasks"]), page["has_more"]) == (100, True)
    settings = workspace.jobs.get(job_id).settings
    assert settings
    assert [task.task_key for task in settings.tasks or []] == [task.task_key for task in tasks]


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": {"quartz_cron_expression": "every night", "timezone_id": "UTC"}},
        {"schedule": {"quartz_cron_expression": "0 0 3 * * ?"}},
        {"schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "Europe/Nowhere"}},
        {"schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"}, "continuous": {}},
        {"parameters": [{"name": "a b", "default": ""}]},
        {"parameters": [{"name": "a", "default": ""}, {"name": "a", "default": ""}]},
        {"tags": {"a": 1}},
        {"tags": {str(number): "" for number in range(26)}},
        {"tasks": [{"task_key": "a", "spark_python_task": {"python_file": "/a"}, "existing_cluster_id": "x",
                    "run_if": "SOMETIMES"}]},
    ],
)  # fmt: skip
def test_what_is_no_job(workspace: WorkspaceClient, wrong: dict[str, object]) -> None:
    """An invalid job is refused and not saved."""
    with pytest.raises(BadRequest):
        workspace.api_client.do("POST", "/api/2.2/jobs/create", body={"name": "wrong", **wrong})
    assert list(workspace.jobs.list()) == []


def test_parameters_on_a_cluster_of_the_job(workspace: WorkspaceClient) -> None:
    """Notebooks get parameters by name, lists get references; the tasks share one job cluster."""
    put_notebook(workspace, "dbutils.notebook.exit(dbutils.widgets.get('who') + dbutils.widgets.get('own'))")
    put_script(workspace, "import sys; print(sys.argv[1:])")
    said = [
        "{{job.parameters.who}}",
        "{{ task.name }} of {{job.run_id}}",
        "{{tasks.first.result_state}}",
        "{{no}}",
    ]
    notebook = jobs.NotebookTask("/Shared/notebook", base_parameters={"who": "nobody", "own": "!"})
    job_id = workspace.jobs.create(
        parameters=[jobs.JobParameterDefinition("who", "you"), jobs.JobParameterDefinition("x", "1")],
        job_clusters=FULL.job_clusters,
        tasks=[
            jobs.Task("first", job_cluster_key="small", notebook_task=notebook),
            jobs.Task(
                "second",
                job_cluster_key="small",
                spark_python_task=jobs.SparkPythonTask(SCRIPT, parameters=said),
                depends_on=[jobs.TaskDependency("first")],
            ),
        ],
    ).job_id
    assert job_id
    run = workspace.jobs.run_now(job_id, job_parameters={"who": "me"}).result(timeout=TIMEOUT)
    shown = [(one.name, one.default, one.value) for one in run.job_parameters or []]
    assert shown == [("who", "you", "me"), ("x", "1", None)]
    assert run.tasks
    first, second = (workspace.jobs.get_run_output(task.run_id or 0) for task in run.tasks)
    assert first.notebook_output
    assert first.notebook_output.result == "me!"
    assert second.logs == f"['me', 'second of {run.run_id}', 'success', '{{{{no}}}}']\n"
    clusters = {task.cluster_instance.cluster_id for task in run.tasks if task.cluster_instance}
    assert len(clusters) == 1
    assert workspace.clusters.wait_get_cluster_terminated(str(clusters.pop()))


def test_retries_and_a_repair(workspace: WorkspaceClient) -> None:
    """A failed task is retried; a repair of the run repeats only failed tasks."""
    put_script(workspace, "import os; print(os.path.exists('/dbfs/ready')); open('/dbfs/ready')")
    put_notebook(workspace, "1")
    failing = jobs.Task(
        "fails", existing_cluster_id=RUNNING_ID, spark_python_task=jobs.SparkPythonTask(SCRIPT), max_retries=1
    )
    works = jobs.Task(
        "works", existing_cluster_id=RUNNING_ID, notebook_task=jobs.NotebookTask("/Shared/notebook")
    )
    job_id = workspace.jobs.create(tasks=[failing, works]).job_id
    assert job_id
    run = ended(workspace, workspace.jobs.run_now(job_id).run_id)
    assert state(run)[:2] == (Life.INTERNAL_ERROR, Result.FAILED)
    first, kept = run.tasks or []
    assert run.run_id
    assert first.run_id
    assert (first.attempt_number, first.run_id != kept.run_id) == (1, True)
    workspace.dbfs.put("/ready", contents="")
    repair = workspace.jobs.repair_run(run.run_id, rerun_all_failed_tasks=True)
    made: jobs.RepairRunResponse = repair.response
    repaired = repair.result(timeout=TIMEOUT)
    assert state(repaired) == (Life.TERMINATED, Result.SUCCESS, Code.SUCCESS)
    assert repaired.tasks
    assert output(workspace, repaired).logs == "True\n"
    assert workspace.jobs.get_run_output(first.run_id).logs == "False\n"
    assert [task.attempt_number for task in repaired.tasks] == [2, 0]
    history = workspace.jobs.get_run(run.run_id, include_history=True).repair_history or []
    assert [(item.type.value, item.id) for item in history if item.type] == [
        ("ORIGINAL", None),
        ("REPAIR", made.repair_id),
    ]
    with pytest.raises(InvalidParameterValue, match="latest_repair_id"):
        workspace.jobs.repair_run(run.run_id, rerun_tasks=["works"])
