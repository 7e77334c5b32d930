"""Faults on demand, seen by the SDK and by a plain client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from databricks.sdk.errors import (
    BadRequest,
    InternalError,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    TooManyRequests,
)
from databricks.sdk.service.compute import State
from databricks.sdk.service.workspace import ImportFormat

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from tests.sandbox.notebooks import is_gone, open_notebook

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes

ME = "/api/2.0/preview/scim/v2/Me"
MKDIRS = "/api/2.0/dbfs/mkdirs"


def test_the_nth_call_and_a_number_of_them(running: Running, http: httpx.Client) -> None:
    """A fault can start at the nth call and last for some; other calls and paths are not affected."""
    fault = running.sandbox.faults.add("status", path="/api/2.0/dbfs/*", nth=2, times=2, status=500)
    statuses = [http.post(MKDIRS, json={"path": "/a"}).status_code for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]
    assert http.get(ME).status_code == 200
    assert (fault.calls, fault.struck) == (5, 2)


def test_a_rate_repeats_with_its_seed(running: Running, http: httpx.Client) -> None:
    """With the same seed the same calls fail, about as many as the rate says."""

    def failures(seed: int) -> list[bool]:
        running.sandbox.faults.clear()
        running.sandbox.faults.add("status", path=ME, times=0, rate=0.3, seed=seed)
        return [http.get(ME).status_code == 503 for _ in range(100)]

    first = failures(1)
    assert failures(1) == first
    assert failures(2) != first
    assert 15 <= sum(first) <= 45


@pytest.mark.parametrize(("status", "error"), [(500, InternalError), (403, PermissionDenied)])
def test_a_status_that_is_not_tried_again(
    running: Running, workspace: WorkspaceClient, status: int, error: type[Exception]
) -> None:
    """A status that is not retried becomes the SDK's own exception."""
    running.sandbox.faults.add("status", path=ME, status=status, message="fell over")
    with pytest.raises(error, match="fell over"):
        workspace.current_user.me()


def test_retry_after_is_kept(running: Running, workspace: WorkspaceClient) -> None:
    """The SDK waits as long as Retry-After says, and succeeds."""
    fault = running.sandbox.faults.add("status", path=ME, status=429, retry_after=1)
    start = time.monotonic()
    assert workspace.current_user.me().user_name == "user@example.com"
    assert time.monotonic() - start >= 1
    assert fault.calls == 2


def test_too_many_requests_for_ever(running: Running, workspace: WorkspaceClient) -> None:
    """Status 429 for every request: the SDK stops retrying, with the error as its cause."""
    running.sandbox.faults.add("status", path=ME, times=0, status=429, retry_after=1)
    with pytest.raises(TimeoutError) as caught:
        workspace.current_user.me()
    assert isinstance(caught.value.__cause__, TooManyRequests)


def test_a_delay(running: Running, http: httpx.Client) -> None:
    """A delayed request is answered later."""
    running.sandbox.faults.add("delay", path=ME, seconds=0.3)
    start = time.monotonic()
    assert http.get(ME).status_code == 200
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize(("effect", "done"), [("reset-before", False), ("reset-after", True)])
def test_a_reset_connection(running: Running, http: httpx.Client, effect: str, done: bool) -> None:
    """A reset connection gives the same error, whether the request was processed or not."""
    running.sandbox.faults.add(effect, method="post", path=MKDIRS)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.post(MKDIRS, json={"path": "/made"})
    found = http.get("/api/2.0/dbfs/get-status", params={"path": "/made"})
    assert (found.status_code == 200) is done


def test_the_sdk_repeats_what_was_reset(running: Running, workspace: WorkspaceClient) -> None:
    """The SDK repeats a POST too, so the second request may find the object."""
    fault = running.sandbox.faults.add("reset-after", path="/api/2.0/workspace/import")
    with pytest.raises(ResourceAlreadyExists, match="already exists"):
        workspace.workspace.import_("/Shared/a.txt", content="eA==", format=ImportFormat.AUTO)
    assert fault.calls == 2


def test_a_truncated_answer(running: Running, http: httpx.Client) -> None:
    """Half of the body arrives, then the connection ends."""
    http.put("/api/2.0/fs/files/Volumes/main/default/data/a", content=b"x" * 1000)
    running.sandbox.faults.add("truncate", path="/api/2.0/fs/files/*")
    with (
        http.stream("GET", "/api/2.0/fs/files/Volumes/main/default/data/a") as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        answer.read()
    assert len(http.get("/api/2.0/fs/files/Volumes/main/default/data/a").content) == 1000


def test_stale_reads_after_a_write(running: Running, workspace: WorkspaceClient) -> None:
    """After a write some reads return the old state; later ones are current."""
    dbfs = workspace.dbfs
    running.sandbox.faults.add("stale", path="/api/2.0/dbfs/get-status")
    dbfs.put("/a", contents="eA==")
    with pytest.raises(NotFound):
        dbfs.get_status("/a")
    assert dbfs.get_status("/a").file_size == 1
    dbfs.put("/a", contents="eHg=", overwrite=True)
    assert [dbfs.get_status("/a").file_size for _ in range(3)] == [1, 2, 2]


def test_a_cluster_ends_in_the_middle_of_a_command(running: Running, workspace: WorkspaceClient) -> None:
    """The cluster terminates during a command: the context is lost, the reason is a lost spot instance."""
    notebook = open_notebook(running.http())
    running.sandbox.faults.add("terminate-cluster", path="/api/1.2/commands/execute", seconds=0.2)
    command = notebook.submit("import time; time.sleep(60)")
    cluster = workspace.clusters.wait_get_cluster_terminated(RUNNING_ID)
    assert cluster.state is State.TERMINATED
    assert cluster.termination_reason
    assert cluster.termination_reason.code
    assert cluster.termination_reason.code.value == "SPOT_INSTANCE_TERMINATION"
    with pytest.raises(BadRequest, match="is not running"):
        workspace.command_execution.command_status(RUNNING_ID, notebook.context, command)


def test_a_context_is_evicted(running: Running, workspace: WorkspaceClient) -> None:
    """An evicted context is unknown, and its cluster keeps running."""
    notebook = open_notebook(running.http())
    running.sandbox.faults.add("evict-contexts", path="/api/1.2/commands/execute")
    command = notebook.submit("import time; time.sleep(60)")
    deadline = time.monotonic() + 10
    while notebook.ask("GET", "contexts/status").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(BadRequest, match="execution context not found"):
        workspace.command_execution.command_status(RUNNING_ID, notebook.context, command)
    assert workspace.clusters.get(RUNNING_ID).state is State.RUNNING


def test_the_server_stops_while_a_context_is_evicted(running: Running, http: httpx.Client) -> None:
    """The server waits until the evicted context's process has ended and its files are deleted."""
    notebook = open_notebook(http)
    pid = int(notebook.text("import os; os.getpid()"))
    running.sandbox.faults.add("evict-contexts", path="/api/1.2/contexts/status")
    while notebook.ask("GET", "contexts/status").status_code == 200:
        assert running.server.thread.is_alive()
    running.stop()
    assert is_gone(pid)
    assert not (running.sandbox.layout.kernels / notebook.context).exists()


def test_a_token_expires(running: Running, workspace: WorkspaceClient) -> None:
    """An expired token is refused until the rule is removed; other users are not affected."""
    running.sandbox.faults.add("expire-token", path=ME, nth=2)
    workspace.current_user.me()
    for call in (workspace.current_user.me, lambda: list(workspace.clusters.list())):
        with pytest.raises(PermissionDenied, match="Invalid access token"):
            call()
    assert list(running.workspace("other@example.com").clusters.list())
    running.sandbox.faults.clear()
    workspace.current_user.me()
    running.sandbox.faults.add("expire-token")
    assert httpx.get(f"{running.url}/.well-known/databricks-config").status_code == 200  # without a token
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        workspace.current_user.me()


def test_the_route_of_the_command_line(running: Running, http: httpx.Client) -> None:
    """Rules are added, listed with their counters, and removed; they do not affect their own route."""
    added = http.post("/sandbox/faults", json={"effect": "status", "times": 0}).json()
    http.post("/sandbox/faults", json={"effect": "delay", "path": "/nowhere"})
    assert http.get(ME).status_code == 503
    shown = http.get("/sandbox/faults").json()["faults"]
    assert [(one["effect"], one["struck"]) for one in shown] == [("status", 1), ("delay", 0)]
    assert http.delete("/sandbox/faults", params={"number": added["number"]}).status_code == 200
    assert http.get(ME).status_code == 200
    assert http.delete("/sandbox/faults", params={"number": 77}).status_code == 404
    assert httpx.get(f"{running.url}/sandbox/faults").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"effect": "explode"},
        {"effect": "status", "status": 200},
        {"effect": "status", "status": "503"},
        {"effect": "status", "rate": 0},
        {"effect": "status", "nth": 0},
        {"effect": "status", "number": 3},
        {"effect": "delay", "seconds": -1},
    ],
)
def test_rules_that_make_no_sense(running: Running, http: httpx.Client, wrong: dict[str, Any]) -> None:
    """Invalid rules are refused, over HTTP and in Python."""
    assert http.post("/sandbox/faults", json=wrong).status_code == 400
    with pytest.raises(ApiError):
        running.sandbox.faults.add(**wrong)
    assert http.get("/sandbox/faults").json() == {"faults": []}
