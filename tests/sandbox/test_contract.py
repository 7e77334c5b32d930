r"""What a client may rely on, in the sandbox and in any other workspace.

    SANDBOX_TESTS_HOST=https://... SANDBOX_TESTS_TOKEN=... SANDBOX_TESTS_CLUSTER=... \
        pytest tests/sandbox

runs only this file against that workspace; SANDBOX_TESTS_VOLUME and SANDBOX_TESTS_GIT_URL name a volume
and a public repository there. Every test uses a new folder and removes it.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import os
import uuid
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    InvalidParameterValue,
    NotFound,
    OperationFailed,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.workspace import ImportFormat, ObjectType

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote

pytestmark = pytest.mark.processes

CLUSTER = os.environ.get("SANDBOX_TESTS_CLUSTER", RUNNING_ID)
VOLUME = os.environ.get("SANDBOX_TESTS_VOLUME", "/Volumes/main/default/data")
TIMEOUT = dt.timedelta(minutes=20)


@pytest.fixture
def name() -> str:
    """Return an unused name."""
    return f"contract-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder(live: WorkspaceClient, name: str) -> Iterator[str]:
    """Return a new folder in the user's home."""
    path = f"/Users/{live.current_user.me().user_name}/{name}"
    live.workspace.mkdirs(path)
    yield path
    live.workspace.delete(path, recursive=True)


@pytest.fixture
def dbfs_folder(live: WorkspaceClient, name: str) -> Iterator[str]:
    """Return a new folder on DBFS."""
    live.dbfs.mkdirs(f"/tmp/{name}")
    yield f"/tmp/{name}"
    live.dbfs.delete(f"/tmp/{name}", recursive=True)


@pytest.fixture
def volume_folder(live: WorkspaceClient, name: str) -> Iterator[str]:
    """Return a new folder on a volume."""
    path = f"{VOLUME}/{name}"
    live.files.create_directory(path)
    yield path
    for entry in list(live.files.list_directory_contents(path)):
        live.files.delete(str(entry.path))
    live.files.delete_directory(path)


def put(live: WorkspaceClient, path: str, source: str, *, overwrite: bool = False) -> None:
    """Import a file or a notebook."""
    content = base64.b64encode(source.encode()).decode()
    live.workspace.import_(path, content=content, format=ImportFormat.AUTO, overwrite=overwrite)


def test_a_wrong_token(live: WorkspaceClient) -> None:
    """Refused as not logged in, or as not allowed."""
    wrong = type(live)(host=live.config.host, token="dapi-nothing")
    with pytest.raises((PermissionDenied, Unauthenticated)):
        wrong.current_user.me()


def test_a_notebook_loses_its_extension(live: WorkspaceClient, folder: str) -> None:
    """A header makes a file a notebook."""
    put(live, f"{folder}/notebook.py", "# Databricks notebook source\n1")
    put(live, f"{folder}/module.py", "1")
    kinds = {item.path: item.object_type for item in live.workspace.list(folder)}
    assert kinds == {f"{folder}/notebook": ObjectType.NOTEBOOK, f"{folder}/module.py": ObjectType.FILE}


def test_workspace_refusals(live: WorkspaceClient, folder: str) -> None:
    """Overwriting needs a flag, a folder with content is not deleted, a missing path is not found."""
    put(live, f"{folder}/a.txt", "1")
    with pytest.raises((ResourceAlreadyExists, AlreadyExists)):
        put(live, f"{folder}/a.txt", "2")
    put(live, f"{folder}/a.txt", "3", overwrite=True)
    with live.workspace.download(f"{folder}/a.txt") as file:
        assert file.read() == b"3"
    with pytest.raises(BadRequest):
        live.workspace.delete(folder)
    for call in (live.workspace.get_status, lambda path: list(live.workspace.list(path))):
        with pytest.raises(NotFound):
            call(f"{folder}/nothing")


def test_dbfs(live: WorkspaceClient, dbfs_folder: str) -> None:
    """Files are written in blocks and read; overwriting needs a flag; a missing path may be deleted."""
    content = os.urandom(1_500_000)
    live.dbfs.upload(f"{dbfs_folder}/a", io.BytesIO(content))
    with live.dbfs.download(f"{dbfs_folder}/a") as file:
        assert file.read() == content
    with pytest.raises((ResourceAlreadyExists, AlreadyExists)):
        live.dbfs.put(f"{dbfs_folder}/a", contents="eA==")
    with pytest.raises(NotFound):
        live.dbfs.get_status(f"{dbfs_folder}/nothing")
    with pytest.raises(DatabricksError):
        live.api_client.do("POST", "/api/2.0/dbfs/delete", body={"path": dbfs_folder})
    live.dbfs.delete(f"{dbfs_folder}/nothing")


def test_a_volume(live: WorkspaceClient, volume_folder: str) -> None:
    """Files are written and listed; overwriting needs a flag; a folder with content is not deleted."""
    live.files.upload(f"{volume_folder}/a", io.BytesIO(b"1"), overwrite=False)
    with pytest.raises(AlreadyExists):
        live.files.upload(f"{volume_folder}/a", io.BytesIO(b"2"), overwrite=False)
    assert [item.name for item in live.files.list_directory_contents(volume_folder)] == ["a"]
    with pytest.raises(NotFound):
        live.files.download(f"{volume_folder}/nothing")
    with pytest.raises(BadRequest):
        live.files.delete_directory(volume_folder)


def test_secrets(live: WorkspaceClient, name: str) -> None:
    """Secrets are put, listed without values, and deleted with their scope."""
    live.secrets.create_scope(name)
    try:
        with pytest.raises(ResourceAlreadyExists):
            live.secrets.create_scope(name)
        live.secrets.put_secret(name, "key", string_value="value")
        assert [secret.key for secret in live.secrets.list_secrets(name)] == ["key"]
        with pytest.raises(ResourceDoesNotExist):
            live.secrets.delete_secret(name, "nothing")
    finally:
        live.secrets.delete_scope(name)
    with pytest.raises(ResourceDoesNotExist):
        list(live.secrets.list_secrets(name))


def test_what_clusters_and_runs_do_not_exist(live: WorkspaceClient) -> None:
    """A missing cluster or run is an invalid parameter or a missing resource, as the SDK maps it."""
    for call in (live.clusters.get, live.clusters.start):
        with pytest.raises((ResourceDoesNotExist, InvalidParameterValue)):
            call("0101-000000-nothing0")
    with pytest.raises((ResourceDoesNotExist, InvalidParameterValue)):
        live.jobs.get_run(1)


def test_commands(live: WorkspaceClient) -> None:
    """A value, an exception with status Finished, and a destroyed context."""
    live.clusters.ensure_cluster_is_running(CLUSTER)
    api = live.command_execution
    context = api.create_and_wait(cluster_id=CLUSTER, language=compute.Language.PYTHON, timeout=TIMEOUT)
    ids = {"cluster_id": CLUSTER, "context_id": str(context.id)}

    def run(code: str) -> compute.CommandStatusResponse:
        return api.execute_and_wait(**ids, language=compute.Language.PYTHON, command=code, timeout=TIMEOUT)

    done = run("print(6 * 7)")
    assert done.status is compute.CommandStatus.FINISHED
    assert done.results
    assert str(done.results.data).strip() == "42"
    failed = run("1 / 0")
    assert failed.status is compute.CommandStatus.FINISHED
    assert failed.results
    assert failed.results.result_type is compute.ResultType.ERROR
    assert "ZeroDivisionError" in str(failed.results.cause)
    api.destroy(**ids)
    with pytest.raises(DatabricksError):
        api.context_status(**ids)


def test_a_run_that_fails(live: WorkspaceClient, folder: str) -> None:
    """The run has its task, whose output has the error; the run itself has no output."""
    put(live, f"{folder}/script.py", "print('said')\n1 / 0\n")
    task = jobs.SubmitTask(
        task_key="only",
        existing_cluster_id=CLUSTER,
        spark_python_task=jobs.SparkPythonTask(f"/Workspace{folder}/script.py"),
    )
    run_id = live.jobs.submit(tasks=[task]).run_id
    with pytest.raises(OperationFailed):
        live.jobs.wait_get_run_job_terminated_or_skipped(run_id, timeout=TIMEOUT)
    run = live.jobs.get_run(run_id)
    assert run.state
    assert run.state.life_cycle_state is jobs.RunLifeCycleState.INTERNAL_ERROR
    assert run.state.result_state is jobs.RunResultState.FAILED
    assert "Workload failed" in str(run.state.state_message)
    assert run.tasks
    output = live.jobs.get_run_output(run.tasks[0].run_id or 0)
    assert "ZeroDivisionError" in str(output.error)
    assert "said" in str(output.logs)
    with pytest.raises(BadRequest):
        live.jobs.get_run_output(run_id)


def test_a_git_folder(live: WorkspaceClient, folder: str, request: pytest.FixtureRequest) -> None:
    """A Git folder is created, refused a second time, refused for a missing branch, and deleted."""
    url = os.environ.get("SANDBOX_TESTS_GIT_URL")
    if url is None:
        remote: Remote = request.getfixturevalue("remote")
        url = f"file://{remote.bare}"
    repo = live.repos.create(url, "gitHub", path=f"{folder}/repo")
    assert repo.id
    assert live.workspace.get_status(f"{folder}/repo").object_type is ObjectType.REPO
    with pytest.raises(DatabricksError):
        live.repos.create(url, "gitHub", path=f"{folder}/repo")
    with pytest.raises(DatabricksError):
        live.repos.update(repo.id, branch="no-such-branch")
    live.repos.delete(repo.id)
    with pytest.raises(NotFound):
        live.repos.get(repo.id)
