"""Conditions, loops, jobs that run jobs, and kinds of task that the sandbox cannot run.

Only the last test needs a process: conditions, loops and jobs are run without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.service import jobs

from kedro_databricks_hybrid.sandbox.jobs.control_flow import holds, inputs_of
from kedro_databricks_hybrid.sandbox.jobs.runs import TaskFailedError
from tests.sandbox.jobs.test_routes import CHAIN, JOBS, create, ended, refused, run_now
from tests.sandbox.runs import finished, notebook_task, output, put_notebook

if TYPE_CHECKING:
    import httpx
    from databricks.sdk import WorkspaceClient


def condition(key: str, left: str, right: str, op: str = "EQUAL_TO", **details: Any) -> dict[str, Any]:
    """Return a condition task."""
    return {"task_key": key, "condition_task": {"op": op, "left": left, "right": right}, **details}


def after(key: str, outcome: str = "") -> dict[str, Any]:
    """Return the field of a task that depends on another one."""
    return {"depends_on": [{"task_key": key, **({"outcome": outcome} if outcome else {})}]}


def results(run: dict[str, Any]) -> dict[str, str]:
    """Return the result of each task of a run."""
    return {task["task_key"]: task["state"]["result_state"] for task in run["tasks"]}


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        ("EQUAL_TO", "12", "12", True),
        ("EQUAL_TO", "12.0", "12", False),
        ("NOT_EQUAL", "12.0", "12", True),
        ("GREATER_THAN", "12", "9", True),
        ("GREATER_THAN_OR_EQUAL", "12.0", "12", True),
        ("LESS_THAN", "12", "9", False),
        ("LESS_THAN_OR_EQUAL", " 9", "9.0", True),
    ],
)
def test_conditions(op: str, left: str, right: str, expected: bool) -> None:
    """Equality compares texts, order compares numbers."""
    assert holds({"op": op, "left": left, "right": right}) is expected


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: holds({"op": "LESS_THAN", "left": "a", "right": "1"}), "'a' and '1' is not a number"),
        (lambda: inputs_of({"inputs": "a, b"}), "must be a JSON array, not 'a, b'"),
        (lambda: inputs_of({"inputs": "{}"}), "must be a JSON array"),
        (lambda: inputs_of({"inputs": str(list(range(5001)))}), "at most 5000 inputs, not 5001"),
    ],
)
def test_what_fails_a_task(work: Any, words: str) -> None:
    """A condition or loop with invalid values fails, and the message says why."""
    with pytest.raises(TaskFailedError, match=words):
        work()


def test_the_branches_of_a_condition(http: httpx.Client) -> None:
    """Only tasks of the condition's outcome run; tasks that depend on the other one are excluded."""
    tasks = [
        condition("if", "{{job.parameters.size}}", "10", "GREATER_THAN"),
        condition("then", "{{tasks.if.result_state}}", "success", **after("if", "true")),
        condition("else", "1", "1", **after("if", "false")),
        condition("behind", "1", "1", **after("else")),
        condition("both", "1", "1", depends_on=[{"task_key": "then"}, {"task_key": "else"}]),
        condition("any", "{{task.name}}", "x", **{**after("else"), "run_if": "ALL_DONE"}),
    ]
    job_id = create(http, tasks=tasks, parameters=[{"name": "size", "default": "5"}])
    run = ended(http, run_now(http, job_id, job_parameters={"size": "11"}))
    assert results(run) == {
        "if": "SUCCESS",
        "then": "SUCCESS",
        "else": "EXCLUDED",
        "behind": "EXCLUDED",
        "both": "EXCLUDED",
        "any": "SUCCESS",
    }
    outcomes = {task["task_key"]: task["condition_task"].get("outcome") for task in run["tasks"]}
    assert (outcomes["if"], outcomes["then"], outcomes["any"], outcomes["else"]) == (
        "true",
        "true",
        "false",
        None,
    )
    assert run["state"]["result_state"] == "SUCCESS"
    assert results(ended(http, run_now(http, job_id)))["then"] == "EXCLUDED"


def test_a_loop(http: httpx.Client) -> None:
    """Each iteration is a run with its own input; a failed one fails the loop."""
    inputs = '[{"left": "3"}, {"left": "x"}, {"left": 2}]'
    nested = condition("less", "{{input.left}}", "3", "LESS_THAN", max_retries=1)
    loop = {"task_key": "each", "for_each_task": {"inputs": inputs, "concurrency": 2, "task": nested}}
    run = ended(http, run_now(http, create(http, tasks=[loop])))
    (task,) = run["tasks"]
    stats = task["for_each_task"]["stats"]["task_run_stats"]
    assert (stats["total_iterations"], stats["succeeded_iterations"], stats["failed_iterations"]) == (3, 2, 1)
    assert task["state"]["result_state"] == "FAILED"
    assert task["state"]["state_message"].startswith("1 of 3 iterations failed. LESS_THAN compares numbers")
    shown = http.get(f"{JOBS}/runs/get", params={"run_id": task["run_id"]}).json()["iterations"]
    assert [one["condition_task"].get("outcome") for one in shown] == ["false", None, "true"]
    assert [one["attempt_number"] for one in shown] == [0, 1, 0]
    one = http.get(
        f"{JOBS}/runs/get", params={"run_id": shown[2]["run_id"], "include_resolved_values": "true"}
    )
    assert one.json()["tasks"][0]["resolved_values"]["condition_task"]["left"] == "2"


def test_a_loop_of_nothing(http: httpx.Client) -> None:
    """A loop without inputs succeeds."""
    loop = {"inputs": "{{job.parameters.all}}", "task": condition("a", "{{input}}", "1")}
    tasks = [{"task_key": "each", "for_each_task": loop}]
    job_id = create(http, tasks=tasks, parameters=[{"name": "all", "default": "[]"}])
    assert ended(http, run_now(http, job_id))["state"]["result_state"] == "SUCCESS"


def test_a_job_that_runs_another_one(http: httpx.Client) -> None:
    """A run-job task ends as the other run does and names it; a job cannot run itself, even indirectly."""
    inner = create(
        http, tasks=[condition("a", "{{job.parameters.who}}", "you")], parameters=[{"name": "who"}]
    )
    outer = create(
        http,
        tasks=[
            {
                "task_key": "run",
                "run_job_task": {"job_id": inner, "job_parameters": {"who": "{{task.name}}"}},
            },
            {"task_key": "none", "run_job_task": {"job_id": 1}},
        ],
    )
    run = ended(http, run_now(http, outer))
    assert results(run) == {"run": "SUCCESS", "none": "FAILED"}
    assert run["tasks"][1]["state"]["state_message"] == "Job 1 does not exist."
    said = http.get(f"{JOBS}/runs/get-output", params={"run_id": run["tasks"][0]["run_id"]}).json()
    child = http.get(f"{JOBS}/runs/get", params={"run_id": said["run_job_output"]["run_id"]}).json()
    assert (child["job_id"], child["trigger"]) == (inner, "RUN_JOB_TASK")
    assert child["job_parameters"] == [{"name": "who", "default": "", "value": "run"}]
    again = [{"task_key": "again", "run_job_task": {"job_id": outer}}]
    http.post(f"{JOBS}/reset", json={"job_id": inner, "new_settings": {"tasks": again}}).raise_for_status()
    run = ended(http, run_now(http, outer))
    assert f"Job {outer} would run itself." in run["tasks"][0]["state"]["state_message"]


def test_a_cancelled_job_cancels_what_it_runs(running: Any, http: httpx.Client) -> None:
    """Cancelling a run cancels its loops and the runs of other jobs."""
    running.sandbox.clusters.start_seconds = 60
    version = running.sandbox.clusters.all()[0].spark_version
    slow = {**CHAIN[0], "new_cluster": {"spark_version": version, "num_workers": 0}}
    inner = create(http, tasks=[slow])
    loop = {"inputs": "[1, 2]", "task": {"task_key": "run", "run_job_task": {"job_id": inner}}}
    outer = run_now(http, create(http, tasks=[{"task_key": "each", "for_each_task": loop}]))
    while not (child := http.get(f"{JOBS}/runs/list", params={"job_id": inner}).json().get("runs")):
        assert (
            http.get(f"{JOBS}/runs/get", params={"run_id": outer}).json()["status"]["state"] != "TERMINATED"
        )
    http.post(f"{JOBS}/runs/cancel", json={"run_id": outer}).raise_for_status()
    run = ended(http, outer)
    assert results(run) == {"each": "CANCELED"}
    assert ended(http, child[0]["run_id"])["state"]["result_state"] == "CANCELED"
    shown = http.get(f"{JOBS}/runs/get", params={"run_id": run["tasks"][0]["run_id"]}).json()["iterations"]
    assert [one["state"]["result_state"] for one in shown] == ["CANCELED", "CANCELED"]


@pytest.mark.parametrize(
    "kind", ["sql_task", "dbt_task", "pipeline_task", "spark_jar_task", "dashboard_task"]
)
def test_a_kind_that_cannot_run(http: httpx.Client, kind: str) -> None:
    """A task of an unsupported kind can be saved and read; its run fails and says why."""
    task = {"task_key": "other", kind: {"anything": "1"}}
    job_id = create(http, tasks=[task])
    assert (
        http.get(f"{JOBS}/get", params={"job_id": job_id}).json()["settings"]["tasks"][0][kind] == task[kind]
    )
    run = ended(http, run_now(http, job_id))
    assert run["tasks"][0]["state"]["state_message"] == (
        f"Task other is a {kind}, which the sandbox cannot run."
    )
    assert run["status"]["termination_details"]["code"] == "FEATURE_DISABLED"


def test_one_task_without_a_key(http: httpx.Client) -> None:
    """A run in the older form has one task, whose output is the output of the run."""
    body = {"run_name": "one", "notebook_task": {"notebook_path": "/Shared/none"}, "timeout_seconds": 60}
    run = ended(http, http.post(f"{JOBS}/runs/submit", json=body).json()["run_id"])
    assert (run["format"], len(run["tasks"])) == ("SINGLE_TASK", 1)
    said = http.get(f"{JOBS}/runs/get-output", params={"run_id": run["run_id"]}).json()
    assert said["error"].startswith('Unable to access the notebook "/Shared/none"')
    assert "One of job_cluster_key" in refused(http.post(f"{JOBS}/runs/submit", json={"run_name": "none"}))


@pytest.mark.processes
def test_task_values(workspace: WorkspaceClient) -> None:
    """A later task reads task values with dbutils and references; a missing one fails it."""
    put_notebook(
        workspace,
        "values = dbutils.jobs.taskValues\nwho = dbutils.widgets.get('who')",
        "if who == 'you':\n    values.set(key='n', value=[1, 2])",
        "if who != 'you':\n"
        "    try:\n"
        "        values.get(taskKey='main', key='none', debugValue='debug')\n"
        "    except ValueError:\n"
        "        said = [values.get('main', 'n'), values.get('main', 'none', default=3), who]\n"
        "        dbutils.notebook.exit(str(said))",
    )
    second, third = (
        {**notebook_task().as_dict(), "task_key": key, **after("main")} for key in ("second", "third")
    )
    second["notebook_task"]["base_parameters"] = {"who": "{{tasks.main.values.n}}"}
    third["notebook_task"]["base_parameters"] = {"who": "{{tasks.main.values.none}}"}
    tasks = [notebook_task(), *(jobs.SubmitTask.from_dict(task) for task in (second, third))]
    run = finished(workspace, *tasks)
    assert run.tasks
    said = [workspace.jobs.get_run_output(task.run_id or 0) for task in run.tasks]
    assert output(workspace, run).error is None
    assert said[1].notebook_output
    assert said[1].notebook_output.result == "[[1, 2], 3, '[1, 2]']"
    assert said[2].error == "Task main has not set the value 'none'."
