"""The request that submits a run as a job, and the generated notebook that the job runs."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from kedro_databricks_hybrid import job_task
from kedro_databricks_hybrid.databricks.clusters import Cluster
from kedro_databricks_hybrid.project import locks
from kedro_databricks_hybrid.project.requirements import Fit, Requirements, find_requirements, fit
from kedro_databricks_hybrid.project.settings import Compute
from kedro_databricks_hybrid.run import deploy, install, job
from kedro_databricks_hybrid.run.compute import Choice, serverless_dependencies
from kedro_databricks_hybrid.run.request import RunRequest
from tests.project_fixtures import MemoryFiles

NOTEBOOK = job.Notebook(PurePosixPath("/Users/me/notebook"))
ON_CLUSTER = Choice(is_job=True, compute="cluster", cluster=Cluster("1-small", "small"))
SERVERLESS = Choice(is_job=True, compute="serverless")


def request(run_id: str = "one", **options: Any) -> RunRequest:
    """Return a request with these options."""
    return RunRequest(
        run_id=run_id,
        project_path=PurePosixPath(".."),
        package_name="tiny_shop",
        data_root=PurePosixPath("/Volumes/main/default/data"),
        options={"env": "databricks", **options},
        user="me@example.com",
        info={"branch": "main", "env": "databricks"},
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ON_CLUSTER, {"existing_cluster_id": "1-small"}),
        (Choice(is_job=True, compute="job cluster"), {"new_cluster": {"num_workers": 1}}),
        (SERVERLESS, {"environment_key": "kedro"}),
    ],
)
def test_what_the_task_runs_on(choice: Choice, expected: dict[str, Any]) -> None:
    """The task has exactly one compute field; only serverless compute has environments."""
    body = job.Submission(NOTEBOOK, choice, Compute(job_cluster={"num_workers": 1})).body(request(), "x")
    (task,) = body["tasks"]
    compute = {"existing_cluster_id", "new_cluster", "environment_key"} & task.keys()
    assert {name: task[name] for name in compute} == expected
    assert ("environments" in body) == (choice is SERVERLESS)


def test_a_submit_has_a_token_and_a_limit() -> None:
    """The idempotency token is the run id, so that a repeated request starts no second run."""
    body = job.Submission(NOTEBOOK, ON_CLUSTER, Compute(), seconds=90.5).body(request("20261124-1"), "x")
    assert body["idempotency_token"] == "20261124-1"
    assert body["timeout_seconds"] == 91


def test_values_that_jobs_would_fill_in_stay_as_they_are() -> None:
    """Databricks replaces {{...}} in parameters: such text is encoded, and decodes to what the user typed."""
    text = request(params={"a": "{{job.id}}", "b": {"c": {}}}).as_parameter()
    assert "{{" not in text
    assert json.loads(text)["options"]["params"] == {"a": "{{job.id}}", "b": {"c": {}}}


def wants(text: bytes, pip_options: str = "") -> Requirements:
    """Return the requirements of a project with this requirements.txt."""
    found = find_requirements(PurePosixPath("/x"), MemoryFiles({"requirements.txt": text}), pip_options)
    assert found is not None
    return found


def test_the_notebook_installs_as_interactive_runs_do() -> None:
    """Its cells install the file, or the lines that fit the runtime, fetch secrets, and restart Python."""
    plain = wants(b"rich\n")
    cells = install.cells(plain, fit(plain, ""))
    assert cells == ['%pip install -r "/x/requirements.txt"', "dbutils.library.restartPython()"]
    text = job.notebook_text(cells)
    assert '# COMMAND ----------\n\n# MAGIC %pip install -r "/x/requirements.txt"\n' in text
    private = wants(b"pyspark\nmine\n", "--index-url https://me:{{secrets/s/k}}@example.com/simple")
    fetch, write, pip, _ = install.cells(private, fit(private, ""))
    assert "('_pip_secret_0', 's', 'k', True)" in fetch
    assert "'# pyspark\\nmine\\n'" in write
    assert pip.startswith("%pip install --index-url https://me:$_pip_secret_0@example.com/simple -r ")
    assert "%pip" not in job.notebook_text()


def test_hashes_are_checked_where_pip_can() -> None:
    """Locked packages without a hash are installed later, without --require-hashes; both use --no-deps."""
    lock = Requirements(PurePosixPath("/x/uv.lock"), "", is_for_pip=False, tool=locks.UV)
    fitting = Fit(
        ["--require-hashes", "a==1 --hash=sha256:0"], [], [], ["b @ git+https://h/b"], is_complete=True
    )
    first, pip, second, last, restart = install.cells(lock, fitting)
    assert "--require-hashes" in first
    assert "--require-hashes" not in second
    assert [each.startswith('%pip install --no-deps -r "/tmp/') for each in (pip, last)] == [True, True]
    assert pip != last
    assert restart == "dbutils.library.restartPython()"


def test_requirements_of_two_projects_do_not_meet() -> None:
    """Contexts and jobs share a driver's /tmp, so different requirements are written to different files."""
    files = []
    for text in (b"pyspark\nmine\n", b"pyspark\nyours\n"):
        found = wants(text)
        write, pip, _ = install.cells(found, fit(found, ""))
        file = pip.rpartition(" -r ")[2].strip('"')
        assert repr(file) in write
        files.append(file)
    assert len(set(files)) == 2


def test_what_serverless_provides_is_left_out() -> None:
    """PySpark and extras that need it are left out and named; the other requirements are lines."""
    found = serverless_dependencies(
        wants(b"pyspark>=3.5\nkedro-datasets[pandas,spark]>=4\nrich==13.0\n"), "4"
    )
    assert found.left_out == ["pyspark>=3.5", "kedro-datasets[spark]"]
    assert found.lines == ["kedro-datasets[pandas]>=4", "s3fs>=2021.4", "rich==13.0"]
    assert serverless_dependencies(wants(b"rich\n"), "4").lines == ["rich"]


def test_a_deployed_job_names_its_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook combines paths, run id, log folder and changed job parameters when the job runs."""
    given = deploy.parameters(request(""), env="databricks", pipelines="", params="")
    given |= {"env": "prod", "pipelines": "a, b", "params": "x.y=1,z=text", "kedro_job_run": "77"}
    monkeypatch.setattr(job_task, "_parameter", lambda name: given.get(name, ""))
    made = job_task.complete(json.loads(given["kedro_request"]), tmp_path / "notebooks")
    assert made["project_path"] == str(tmp_path)
    assert made["log_folder"].startswith("/Volumes/main/default/data/.kedro-hybrid/runs/20")
    assert made["log_folder"].endswith(made["facts"]["run_id"])
    assert (made["facts"]["env"], made["facts"]["job_run_id"]) == ("prod", "77")
    assert made["options"]["env"] == "prod"
    assert made["options"]["params"] == {"x": {"y": 1}, "z": "text"}
    assert made["run"]["pipeline_names"] == ["a", "b"]


def test_a_task_fails_where_the_run_did(tmp_path: Path) -> None:
    """A failed or cancelled run raises its error in the notebook; after a completed one it continues."""
    end = tmp_path / "end.json"
    end.write_text(json.dumps({"outcome": "failed", "error": "ValueError: no luck"}))
    with pytest.raises(job_task.PipelineFailedError, match="ValueError: no luck"):
        job_task.raise_for({"log_folder": str(tmp_path)})
    end.write_text(json.dumps({"outcome": "cancelled"}))
    with pytest.raises(job_task.PipelineFailedError, match="cancelled"):
        job_task.raise_for({"log_folder": str(tmp_path)})
    end.write_text(json.dumps({"outcome": "completed"}))
    job_task.raise_for({"log_folder": str(tmp_path)})


def test_a_run_of_a_client_keeps_its_name_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submitted run keeps its id and options; an unreplaced {{job.run_id}} is ignored."""
    monkeypatch.setattr(job_task, "_parameter", lambda name: "{{job.run_id}}" if "job_run" in name else "")
    sent = request("20261124-1", pipelines=["a"], params={"x": 1})
    made = job_task.complete(json.loads(sent.as_parameter()), tmp_path)
    assert made["facts"]["run_id"] == "20261124-1"
    assert "job_run_id" not in made["facts"]
    assert (made["run"]["pipeline_names"], made["options"]["params"]) == (["a"], {"x": 1})
