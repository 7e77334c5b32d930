"""Jobs and runs over HTTP: pages, selected tasks, repairs and refused requests.

No task here needs a process: the notebooks do not exist, so the runs fail with that message.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.jobs import runs

if TYPE_CHECKING:
    import httpx

    from tests.sandbox.conftest import Running

JOBS = "/api/2.2/jobs"
CHAIN: list[dict[str, Any]] = [
    {"task_key": "a", "notebook_task": {"notebook_path": "/Shared/none"}},
    {"task_key": "b", "notebook_task": {"notebook_path": "/Shared/none"}, "depends_on": [{"task_key": "a"}]},
    {"task_key": "c", "notebook_task": {"notebook_path": "/Shared/none"}, "depends_on": [{"task_key": "b"}]},
    {"task_key": "d", "notebook_task": {"notebook_path": "/Shared/none"}},
]


def create(http: httpx.Client, **settings: Any) -> int:
    """Create a job and return its id."""
    return int(http.post(f"{JOBS}/create", json=settings).raise_for_status().json()["job_id"])


def run_now(http: httpx.Client, job_id: int, **fields: Any) -> int:
    """Start a run and return its id."""
    answer = http.post(f"{JOBS}/run-now", json={"job_id": job_id, **fields})
    return int(answer.raise_for_status().json()["run_id"])


def ended(http: httpx.Client, run_id: int) -> dict[str, Any]:
    """Wait until a run has ended."""
    deadline = time.monotonic() + 30
    while True:
        run: dict[str, Any] = http.get(f"{JOBS}/runs/get", params={"run_id": run_id}).json()
        if run["status"]["state"] == "TERMINATED":
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.01)


def refused(answer: httpx.Response) -> str:
    """Return the message of a bad request."""
    assert answer.status_code == 400, answer.text
    return str(answer.json()["message"])


def test_pages_of_jobs(http: httpx.Client) -> None:
    """Jobs are listed newest first, in pages of at most a hundred."""
    ids = [create(http, name=name) for name in ("one", "two", "three")]
    first = http.get(f"{JOBS}/list", params={"limit": 2}).json()
    assert [job["job_id"] for job in first["jobs"]] == ids[:0:-1]
    assert first["has_more"]
    rest = http.get(f"{JOBS}/list", params={"limit": 2, "page_token": first["next_page_token"]}).json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["has_more"]) == (ids[:1], False)
    assert refused(http.get(f"{JOBS}/list", params={"limit": 101})) == "limit must be between 1 and 100"


def test_a_listing_with_tasks_by_version(http: httpx.Client) -> None:
    """API 2.1 lists all tasks of a job; 2.2 lists a hundred, and whether more exist."""
    tasks = [{**CHAIN[0], "task_key": f"t{number}"} for number in range(101)]
    create(http, tasks=tasks)
    shown = [
        http.get(f"/api/{version}/jobs/list", params={"expand_tasks": "true"}).json()["jobs"][0]
        for version in ("2.1", "2.2")
    ]
    assert [len(job["settings"]["tasks"]) for job in shown] == [101, 100]
    assert [job.get("has_more") for job in shown] == [None, True]


@pytest.mark.parametrize("name", ["tasks", "job_clusters", "environments", "parameters", "tags"])
def test_an_update_of_settings_with_a_null(http: httpx.Client, name: str) -> None:
    """A setting that is null in an update counts as absent."""
    job_id = create(http, **{name: None})
    body = {"job_id": job_id, "new_settings": {"name": "new"}, "fields_to_remove": [f"{name}/one"]}
    http.post(f"{JOBS}/update", json=body).raise_for_status()
    settings = http.get(f"{JOBS}/get", params={"job_id": job_id}).json()["settings"]
    assert (settings["name"], name in settings) == ("new", False)


def test_jobs_of_others(running: Running, http: httpx.Client) -> None:
    """Jobs of other users cannot be read, run or changed, and their runs cannot be cancelled."""
    job_id = create(http, tasks=CHAIN[:1])
    run_id = run_now(http, job_id)
    other = running.http("other@example.com")
    for answer in (
        other.get(f"{JOBS}/get", params={"job_id": job_id}),
        other.post(f"{JOBS}/run-now", json={"job_id": job_id}),
        other.post(f"{JOBS}/delete", json={"job_id": job_id}),
    ):
        assert answer.status_code == 403
        assert "other@example.com does not have" in answer.json()["message"]
    other.post(f"{JOBS}/runs/cancel-all", json={"job_id": job_id}).raise_for_status()
    assert ended(http, run_id)["state"]["result_state"] == "FAILED"


def test_a_token_starts_one_run_of_a_job(http: httpx.Client) -> None:
    """The same token returns the same run, also at the limit of concurrent runs."""
    job_id = create(http, tasks=CHAIN[:1])
    first, second = (run_now(http, job_id, idempotency_token="t") for _ in range(2))
    assert first == second
    assert run_now(http, job_id, idempotency_token="u") != first


def test_chosen_tasks_alone(http: httpx.Client) -> None:
    """Selected tasks wait only for each other; an unknown key is refused."""
    job_id = create(http, tasks=CHAIN)
    run = ended(http, run_now(http, job_id, only=["b", "c"]))
    states = {task["task_key"]: task["state"]["result_state"] for task in run["tasks"]}
    assert states == {"b": "FAILED", "c": "UPSTREAM_FAILED"}
    for wrong in ("nope", 3):
        answer = http.post(f"{JOBS}/run-now", json={"job_id": job_id, "only": ["b", wrong]})
        assert refused(answer) == f"The job has no task '{wrong}'."


def test_parameters_of_a_run_that_are_no_texts(http: httpx.Client) -> None:
    """Parameters that are not texts are refused before anything runs."""
    job_id = create(http, tasks=CHAIN[:1], parameters=[{"name": "size", "default": "1"}])
    answer = http.post(f"{JOBS}/run-now", json={"job_id": job_id, "job_parameters": {"size": 3}})
    assert refused(answer) == "job_parameters must be strings."
    assert "runs" not in http.get(f"{JOBS}/runs/list").json()


def test_parameters_for_one_kind_of_task(http: httpx.Client) -> None:
    """Parameters for notebooks do not affect other tasks, and override those of the notebook task."""
    script = {
        "task_key": "s",
        "spark_python_task": {"python_file": "/a.py"},
        "existing_cluster_id": RUNNING_ID,
        "depends_on": [{"task_key": "n"}],
    }
    own = {"notebook_path": "/Shared/none", "base_parameters": {"who": "me", "what": "x"}}
    job_id = create(http, tasks=[{"task_key": "n", "notebook_task": own}, script])
    run_id = run_now(http, job_id, notebook_params={"who": "you"})
    ended(http, run_id)
    asked: dict[str, Any] = {"run_id": run_id, "include_resolved_values": "true"}
    notebook, other = http.get(f"{JOBS}/runs/get", params=asked).json()["tasks"]
    assert notebook["resolved_values"]["notebook_task"]["base_parameters"] == {"who": "you", "what": "x"}
    assert "you" not in str(other)


def test_parameters_of_a_one_time_run(http: httpx.Client) -> None:
    """Parameters of a one-time run reach its task, as those of a job's run do."""
    task = {
        **CHAIN[0],
        "notebook_task": {**CHAIN[0]["notebook_task"], "base_parameters": {"a": "1", "b": "2"}},
    }
    body = {"tasks": [task], "notebook_params": {"b": "3"}, "job_parameters": {"c": "4"}}
    run = ended(http, http.post(f"{JOBS}/runs/submit", json=body).json()["run_id"])
    asked = {"run_id": run["run_id"], "include_resolved_values": "true"}
    (shown,) = http.get(f"{JOBS}/runs/get", params=asked).json()["tasks"]
    expected = {"a": "1", "b": "3", "c": "4"}
    assert shown["resolved_values"]["notebook_task"]["base_parameters"] == expected
    assert run["overriding_parameters"] == {"notebook_params": {"b": "3"}}


def test_listings_of_runs(http: httpx.Client) -> None:
    """Tasks are shown on request; `active_only` with `completed_only` is refused."""
    run = ended(http, run_now(http, create(http, tasks=CHAIN[:1])))
    plain, expanded = (
        http.get(f"{JOBS}/runs/list", params={"expand_tasks": flag}).json()["runs"][0]
        for flag in ("false", "true")
    )
    assert "tasks" not in plain
    assert [task["run_id"] for task in expanded["tasks"]] == [run["tasks"][0]["run_id"]]
    both = {"active_only": "true", "completed_only": "true"}
    said = refused(http.get(f"{JOBS}/runs/list", params=both))
    assert said == "active_only and completed_only cannot both be true."


def test_old_runs_make_room(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit, a thousand and here two, the oldest ended runs are deleted."""
    monkeypatch.setattr(runs, "_KEPT_RUNS", 2)
    job_id = create(http, tasks=CHAIN[:1])
    ids = []
    for _ in range(4):
        ids.append(run_now(http, job_id))
        ended(http, ids[-1])
    kept = [run["run_id"] for run in http.get(f"{JOBS}/runs/list").json()["runs"]]
    assert kept == ids[:1:-1]
    assert "does not exist" in refused(http.get(f"{JOBS}/runs/get", params={"run_id": ids[0]}))


def repair(http: httpx.Client, run_id: int, **fields: Any) -> httpx.Response:
    """Request a repair."""
    return http.post(f"{JOBS}/runs/repair", json={"run_id": run_id, **fields})


def test_a_repair_of_a_task_and_all_that_depend_on_it(http: httpx.Client) -> None:
    """Direct and indirect dependents run again; other tasks do not."""
    run = ended(http, run_now(http, create(http, tasks=CHAIN)))
    repair(http, run["run_id"], rerun_tasks=["a"], rerun_dependent_tasks=True).raise_for_status()
    repaired = ended(http, run["run_id"])
    attempts = {task["task_key"]: task.get("attempt_number", 0) for task in repaired["tasks"]}
    assert attempts == {"a": 1, "b": 1, "c": 1, "d": 0}


def test_what_cannot_be_repaired(http: httpx.Client) -> None:
    """Repairs of a one-time run, a task's run, an unknown task, and without tasks are refused."""
    run = ended(http, run_now(http, create(http, tasks=CHAIN)))
    once = http.post(f"{JOBS}/runs/submit", json={"tasks": CHAIN[:1]}).json()["run_id"]
    for run_id in (once, run["tasks"][0]["run_id"]):
        assert refused(repair(http, run_id)) == f"Run {run_id} is not a run of a job."
    assert refused(repair(http, run["run_id"], rerun_tasks=["nope"])) == "The job has no task 'nope'."
    assert refused(repair(http, run["run_id"])).startswith("No task to repair")
    assert "repair_history" not in http.get(f"{JOBS}/runs/get", params={"run_id": run["run_id"]}).json()


def test_a_run_that_is_active_cannot_be_repaired(http: httpx.Client, running: Running) -> None:
    """A run whose cluster is starting is active: no repair; cancelling ends it at once."""
    running.sandbox.clusters.start_seconds = 60
    version = running.sandbox.clusters.all()[0].spark_version
    slow = {**CHAIN[0], "new_cluster": {"spark_version": version, "num_workers": 0}}
    run_id = run_now(http, create(http, tasks=[slow]))
    active = http.get(f"{JOBS}/runs/get", params={"run_id": run_id}).json()
    assert (active["state"]["life_cycle_state"], active["state"]["state_message"]) == ("RUNNING", "")
    said = refused(repair(http, run_id, rerun_tasks=["a"]))
    assert said == f"Run {run_id} cannot be repaired because it is active."
    http.post(f"{JOBS}/runs/cancel", json={"run_id": run_id}).raise_for_status()
    run = ended(http, run_id)
    assert run["state"]["result_state"] == "CANCELED"
    (task,) = run["tasks"]
    assert (task["setup_duration"], task["execution_duration"]) == (task["run_duration"], 0)
    assert (
        run["run_page_url"] == f"{running.url}/?o={running.sandbox.org_id}#job/{run['job_id']}/run/{run_id}"
    )
