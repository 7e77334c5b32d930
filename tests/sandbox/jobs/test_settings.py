"""Invalid settings of a job: each error names the field, and nothing is saved; over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from kedro_databricks_hybrid.sandbox.jobs import settings

if TYPE_CHECKING:
    import httpx

JOBS = "/api/2.2/jobs"
GIT = {"git_url": "https://example.com/r.git", "git_provider": "gitHub", "git_branch": "main"}


def task(**details: Any) -> dict[str, Any]:
    """Return a task on the running cluster, without fields that are None."""
    given = {
        "task_key": "main",
        "existing_cluster_id": RUNNING_ID,
        "spark_python_task": {"python_file": "/a.py"},
        **details,
    }
    return {name: value for name, value in given.items() if value is not None}


def control(kind: str, key: str = "control", **settings: Any) -> dict[str, Any]:
    """Return a task without a program."""
    return {"task_key": key, kind: settings}


def loop(**settings: Any) -> dict[str, Any]:
    """Return a task that repeats another one."""
    return control("for_each_task", "loop", **{"inputs": "[]", "task": task(), **settings})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tasks": [task(task_key="k" * 101)]}, "task_key is longer than 100 characters"),
        ({"tasks": ["main"]}, "tasks must be objects"),
        ({"tasks": [task(notebook_task={"notebook_path": "/a"})]}, "must be exactly one of: notebook_task"),
        ({"tasks": [task(spark_python_task=None, new_task={})]}, "must be exactly one of: notebook_task"),
        ({"tasks": [task(sql_task={})]}, "must be exactly one of: notebook_task"),
        ({"tasks": [task(spark_python_task=None, sql_task=[])]}, "field 'sql_task' must be an object"),
        ({"tasks": [control("condition_task", op="IS", left="1", right="2")]}, "op of a condition_task"),
        ({"tasks": [control("condition_task", op="EQUAL_TO", left="1")]}, "Missing required field: right"),
        ({"tasks": [control("run_job_task")]}, "Missing required field: job_id"),
        ({"tasks": [loop(inputs="1")]}, "inputs of a for_each_task must be a JSON array"),
        ({"tasks": [loop(concurrency=101)]}, "concurrency of a for_each_task must be between 1 and 100"),
        ({"tasks": [loop(task=task(job_cluster_key="c", existing_cluster_id=None))]}, "c of task main is"),
        ({"tasks": [loop(task={"task_key": "a"})]}, "Task a must be exactly one of"),
        ({"tasks": [loop(task=loop())]}, "cannot be a for_each_task"),
        (
            {"tasks": [task(), task(task_key="b", depends_on=[{"task_key": "main", "outcome": "true"}])]},
            "Task main has no outcome",
        ),
        ({"tasks": [task(spark_python_task={})]}, "Missing required field: python_file"),
        (
            {"tasks": [task(spark_python_task={"python_file": "/a.py", "parameters": ["x" * 1024 * 1024]})]},
            "The parameters of task main are larger than 1048576 bytes",
        ),
        (
            {"tasks": [task(spark_python_task={"python_file": "/a.py", "parameters": [1]})]},
            "parameters must be strings",
        ),
        (
            {"tasks": [task(spark_python_task=None,
                            notebook_task={"notebook_path": "/a", "base_parameters": {"size": 3}})]},
            "Parameter 'size' must be a string",
        ),
        ({"tasks": [task(max_retries=-2)]}, "max_retries of task main is at least -1"),
        ({"tasks": [task(min_retry_interval_millis=-1)]}, "min_retry_interval_millis at least 0"),
        (
            {"tasks": [task(new_cluster={"spark_version": nearest_runtime()})]},
            "Task main names more than one of: existing_cluster_id, new_cluster",
        ),
        (
            {"tasks": [task(existing_cluster_id=None, job_cluster_key="small")]},
            "job_cluster_key small of task main is not defined",
        ),
        (
            {"tasks": [task()], "environments": [{"environment_key": "e", "spec": {"dependencies": [1]}}]},
            "dependencies must be strings",
        ),
        (
            {"tasks": [task()], "git_source": {"git_url": "https://example.com/r.git", "git_branch": "main"}},
            "git_source.git_provider must be one of: github,gitlab,bitbucketcloud,gitlabenterpriseedition,",
        ),
        ({"tasks": [task()], "git_source": {**GIT, "git_tag": "v1"}}, "needs exactly one of git_branch"),
        ({"tasks": [task()], "max_concurrent_runs": -1}, "max_concurrent_runs must not be negative"),
        ({"parameters": ["who"]}, "parameters must be objects with a name and a default"),
        (
            {"schedule": {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC",
                          "pause_status": "SLEEPING"}},
            "pause_status must be PAUSED or UNPAUSED",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(http: httpx.Client, settings: dict[str, Any], words: str) -> None:
    """Invalid settings give 400, and a message that names the task and the field."""
    answer = http.post(f"{JOBS}/create", json={"name": "wrong", **settings})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]
    assert "jobs" not in http.get(f"{JOBS}/list").json()


def test_a_job_of_too_many_tasks(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job with more tasks than the limit, a thousand and here three, is refused."""
    monkeypatch.setattr(settings, "MAX_TASKS", 3)
    tasks = [task(task_key=str(number)) for number in range(4)]
    answer = http.post(f"{JOBS}/create", json={"tasks": tasks})
    assert (answer.status_code, answer.json()["message"]) == (400, "A job has at most 3 tasks.")
    assert http.post(f"{JOBS}/create", json={"tasks": tasks[:3]}).status_code == 200


def test_a_cluster_whose_policy_chooses_its_runtime(http: httpx.Client) -> None:
    """`spark_version` of a new cluster is optional, but must be a runtime."""
    clusters = [{}, {"spark_version": "nothing"}]
    tasks = [task(existing_cluster_id=None, new_cluster=cluster) for cluster in clusters]
    taken, refused = (http.post(f"{JOBS}/create", json={"tasks": [one]}) for one in tasks)
    assert (taken.status_code, refused.status_code) == (200, 400)
    assert "nothing" in refused.json()["message"]
