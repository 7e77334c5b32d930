"""Clusters and their states, through the SDK."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import (
    InvalidParameterValue,
    InvalidState,
    OperationFailed,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service import jobs
from databricks.sdk.service.compute import DataSecurityMode, EventType, Language, State

from kedro_databricks_hybrid.sandbox.clusters.model import START_FAILURE_TAG
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime, runtime_version

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.mixins.compute import ClustersExt

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes

RUNNING = "0101-120000-sandbox1"
STOPPED = "0101-120000-sandbox2"
TIMEOUT = dt.timedelta(seconds=30)


@pytest.fixture
def api(workspace: WorkspaceClient) -> ClustersExt:
    """Return the SDK's clusters client."""
    return workspace.clusters


def wait_terminated(api: ClustersExt, cluster_id: str) -> None:
    """Wait until a cluster is terminated."""
    api.wait_get_cluster_terminated(cluster_id, timeout=TIMEOUT)


def test_the_clusters_of_a_new_workspace(api: ClustersExt) -> None:
    """A new workspace has one running and one terminated cluster."""
    states = {cluster.cluster_name: cluster.state for cluster in api.list()}
    assert states == {"sandbox": State.RUNNING, "sandbox-stopped": State.TERMINATED}
    cluster, stopped = api.get(RUNNING), api.get(STOPPED)
    assert cluster.data_security_mode is DataSecurityMode.SINGLE_USER
    assert cluster.spark_version in {version.key for version in api.spark_versions().versions or []}
    assert cluster.default_tags == {
        "Vendor": "Databricks",
        "Creator": "user@example.com",
        "ClusterName": "sandbox",
        "ClusterId": RUNNING,
    }
    assert (cluster.cluster_cores, cluster.cluster_memory_mb) == (2.0, 8192)
    assert (stopped.cluster_cores, stopped.spark_context_id) == (None, None)


def test_both_versions_of_the_api(http: httpx.Client) -> None:
    """API 2.0 lists clusters as the legacy command line expects, API 2.1 in pages."""
    assert len(http.get("/api/2.0/clusters/list").json()["clusters"]) == 2
    page = http.get("/api/2.1/clusters/list", params={"page_size": 1}).json()
    assert len(page["clusters"]) == 1
    rest = http.get("/api/2.1/clusters/list", params={"page_token": page["next_page_token"]}).json()
    assert len(rest["clusters"]) == 1
    assert "next_page_token" not in rest


def test_an_unknown_cluster(api: ClustersExt, http: httpx.Client) -> None:
    """An unknown cluster gives status 400 with INVALID_PARAMETER_VALUE."""
    with pytest.raises(ResourceDoesNotExist, match="Cluster nope does not exist"):
        api.get("nope")
    for call in (api.start, api.restart, api.delete, api.permanent_delete):
        with pytest.raises(InvalidParameterValue, match="Cluster nope does not exist"):
            call("nope")
    answer = http.get("/api/2.1/clusters/get", params={"cluster_id": "nope"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_start(running: Running, api: ClustersExt) -> None:
    """Starting a cluster: its state goes through PENDING to RUNNING, with an event for each."""
    running.sandbox.clusters.start_seconds = 0.5
    waiter = api.start(STOPPED)
    assert api.get(STOPPED).state == State.PENDING
    with pytest.raises(InvalidState, match="unexpected state Pending"):
        api.start(STOPPED)
    assert waiter.result(timeout=TIMEOUT).state == State.RUNNING
    assert [event.type for event in api.events(STOPPED)][:2] == [EventType.RUNNING, EventType.STARTING]


def test_start_a_cluster_that_runs(workspace: WorkspaceClient, api: ClustersExt) -> None:
    """Starting a running cluster is an invalid state; the SDK's `ensure_cluster_is_running` succeeds."""
    with pytest.raises(InvalidState, match="unexpected state Running"):
        api.start(RUNNING)
    workspace.clusters.ensure_cluster_is_running(RUNNING)


def test_terminate_tells_and_ends(running: Running, api: ClustersExt) -> None:
    """Terminating a cluster first calls the callbacks for processes on it."""
    told: list[tuple[str, str]] = []

    async def note(cluster_id: str) -> None:
        told.append((cluster_id, running.sandbox.clusters.get(cluster_id).state))

    running.sandbox.clusters.on_terminate(note)
    api.delete(RUNNING)
    wait_terminated(api, RUNNING)
    assert told == [(RUNNING, "TERMINATING")]
    reason = api.get(RUNNING).termination_reason
    assert reason is not None
    assert (reason.code and reason.code.value, reason.type and reason.type.value) == (
        "USER_REQUEST",
        "SUCCESS",
    )
    api.delete(RUNNING)
    with pytest.raises(InvalidState):
        api.restart(RUNNING)


def test_restart(running: Running, api: ClustersExt) -> None:
    """Restarting a cluster: its state goes through RESTARTING, and its processes end."""
    told: list[str] = []

    async def note(cluster_id: str) -> None:
        told.append(cluster_id)

    running.sandbox.clusters.on_terminate(note)
    before = api.get(RUNNING).spark_context_id
    after = api.restart(RUNNING).result(timeout=TIMEOUT)
    assert told == [RUNNING]
    assert after.state == State.RUNNING
    assert before
    assert after.spark_context_id not in {None, before}


def test_terminate_while_it_starts(running: Running, api: ClustersExt) -> None:
    """Terminating a cluster that is starting cancels the start."""
    running.sandbox.clusters.start_seconds = 0.3
    api.start(STOPPED)
    api.delete(STOPPED)
    wait_terminated(api, STOPPED)
    running.sandbox.clusters.start_seconds = 0
    assert api.get(STOPPED).state == State.TERMINATED


def test_a_cluster_that_cannot_start(api: ClustersExt) -> None:
    """A cluster with the tag for a start failure terminates with that reason."""
    waiter = api.create(
        spark_version=nearest_runtime(),
        cluster_name="broken",
        num_workers=0,
        custom_tags={START_FAILURE_TAG: "CLOUD_PROVIDER_LAUNCH_FAILURE"},
    )
    with pytest.raises(OperationFailed, match="CLOUD_PROVIDER_LAUNCH_FAILURE"):
        waiter.result(timeout=TIMEOUT)
    reason = api.get(waiter.cluster_id).termination_reason
    assert reason is not None
    assert reason.type is not None
    assert reason.type.value == "CLOUD_FAILURE"


def test_create_edit_and_delete_for_good(api: ClustersExt) -> None:
    """A new cluster keeps its settings, can be edited, and is deleted permanently."""
    made = api.create(
        spark_version="15.4.x-scala2.12",
        cluster_name="mine",
        num_workers=2,
        data_security_mode=DataSecurityMode.USER_ISOLATION,
    ).result(timeout=TIMEOUT)
    assert made.cluster_id is not None
    assert (made.num_workers, made.data_security_mode) == (2, DataSecurityMode.USER_ISOLATION)
    assert (made.creator_user_name, made.spark_version) == ("user@example.com", "15.4.x-scala2.12")
    api.edit(made.cluster_id, "16.4.x-scala2.12", cluster_name="renamed", num_workers=1).result(
        timeout=TIMEOUT
    )
    assert (api.get(made.cluster_id).cluster_name, api.get(made.cluster_id).num_workers) == ("renamed", 1)
    api.permanent_delete(made.cluster_id)
    with pytest.raises(ResourceDoesNotExist):
        api.get(made.cluster_id)


def test_a_dedicated_cluster_is_its_users_alone(running: Running) -> None:
    """On another user's dedicated cluster, commands and tasks are refused; by default it is its creator's."""
    other = running.workspace("other@example.com")
    made = (
        running.workspace()
        .clusters.create(
            spark_version=nearest_runtime(),
            data_security_mode=DataSecurityMode.SINGLE_USER,
        )
        .result(timeout=TIMEOUT)
    )
    assert made.single_user_name == "user@example.com"
    cluster_id = str(made.cluster_id)
    with pytest.raises(PermissionDenied, match="Single-user check failed"):
        other.command_execution.create(cluster_id=cluster_id, language=Language.PYTHON)
    task = jobs.SubmitTask(
        "a", existing_cluster_id=cluster_id, spark_python_task=jobs.SparkPythonTask("/a.py")
    )
    with pytest.raises(PermissionDenied, match="Single-user check failed"):
        other.jobs.submit(tasks=[task])


NODE_CONDITIONS: tuple[dict[str, Any], ...] = (
    {},
    {"local_disk": True},
    {"local_disk_min_size": 50},
    {"min_memory_gb": 8, "min_cores": 2, "gb_per_core": 4},
    {"category": "general purpose", "min_gpus": 0},
    {"photon_driver_capable": True, "photon_worker_capable": True},
    {"is_io_cache_enabled": True, "support_port_forwarding": True},
)


def test_the_sdk_selects_a_node_type(api: ClustersExt) -> None:
    """This machine is the only one; it has no GPU, no ARM processor and no disk of a terabyte."""
    for conditions in NODE_CONDITIONS:
        assert api.select_node_type(**conditions) == "sandbox.local", conditions
    for conditions in ({"min_gpus": 1}, {"graviton": True}, {"local_disk_min_size": 1000}, {"fleet": "m"}):
        with pytest.raises(ValueError, match="cannot determine smallest node type"):
            api.select_node_type(**conditions)


def test_the_sdk_selects_a_runtime(api: ClustersExt) -> None:
    """The newest of Databricks' runtimes that fits; none for machine learning."""
    for conditions, key in (
        ({"long_term_support": True}, "16.4.x-scala2.12"),
        ({"long_term_support": True, "scala": "2.13"}, "18.x-scala2.13"),
        ({"spark_version": "3.4.1"}, "13.3.x-scala2.12"),
    ):
        assert api.select_spark_version(**conditions) == key
    with pytest.raises(ValueError, match="no results"):
        api.select_spark_version(ml=True)
    keys = [str(version.key) for version in api.spark_versions().versions or []]
    assert keys.count(nearest_runtime()) == 1


def test_states_after_a_restart_of_the_server(start_sandbox: Callable[..., Running]) -> None:
    """After a restart of the server, running clusters run; one that was starting is terminated."""
    first = start_sandbox()
    first.sandbox.clusters.start_seconds = 60
    clusters = first.workspace().clusters
    clusters.start(STOPPED)
    first.stop()
    states = {cluster.cluster_id: cluster.state for cluster in start_sandbox().workspace().clusters.list()}
    assert states == {RUNNING: State.RUNNING, STOPPED: State.TERMINATED}


CLUSTER = {"job_cluster_key": "a", "new_cluster": {"spark_version": "newest"}}
TASK = {"task_key": "a", "job_cluster_key": "a", "spark_python_task": {"python_file": "/a"}}


@pytest.mark.parametrize(
    ("spark", "python", "runtime"),
    [
        ("3.5.9", "3.10.1", "14.3.x-scala2.12"),
        ("3.5.9", "3.11.7", "15.4.x-scala2.12"),
        ("3.5.9", "3.12.0", "16.4.x-scala2.12"),
        ("4.0.5", "3.12.1", "17.3.x-scala2.13"),
        ("4.0.5", "3.11.1", "17.3.x-sandbox-spark4.0-python3.11-scala2.13"),
        ("4.3.0", "3.12.1", "19.x-sandbox-spark4.3-python3.12-scala2.13"),
        ("2.4.0", "3.10.1", "13.3.x-sandbox-spark2.4-python3.10-scala2.12"),
    ],
)
def test_the_runtime_is_what_is_installed(spark: str, python: str, runtime: str) -> None:
    """The runtime has the installed Spark and Python: Databricks' key, or one that names both."""
    assert nearest_runtime(spark, python) == runtime


def test_what_is_no_runtime(workspace: WorkspaceClient) -> None:
    """An unknown runtime is refused, in a cluster and in a job."""
    for path, body in (
        ("clusters/create", {"spark_version": "newest"}),
        ("jobs/create", {"job_clusters": [CLUSTER], "tasks": [TASK]}),
    ):
        with pytest.raises(InvalidParameterValue, match="Invalid spark version newest"):
            workspace.api_client.do("POST", f"/api/2.1/{path}", body=body)


@pytest.mark.parametrize(("key", "version"), [("17.3.x-scala2.13", "17.3"), ("18.x-scala2.13", "18")])
def test_the_version_that_a_cluster_says(key: str, version: str) -> None:
    """DATABRICKS_RUNTIME_VERSION has the version of the cluster's runtime."""
    assert runtime_version(key) == version


def test_pages_of_events(running: Running, api: ClustersExt, http: httpx.Client) -> None:
    """Newest or oldest first; each page has the request for the next one; a page holds at most 500."""
    running.workspace().clusters.start(STOPPED).result()
    base = "/api/2.1/clusters/events"
    asked = {"cluster_id": STOPPED, "limit": 1}
    newest = http.post(base, json=asked).json()
    oldest = http.post(base, json={**asked, "order": "ASC"}).json()
    count = newest["total_count"]
    assert count > 1
    assert newest["next_page"] == {**asked, "order": "DESC", "offset": 1}
    everything = [event.as_dict() for event in api.events(STOPPED, limit=1)]
    assert len(everything) == count
    assert [newest["events"][0], oldest["events"][0]] == [everything[0], everything[-1]]
    refused = http.post(base, json={**asked, "limit": 501})
    assert (refused.status_code, refused.json()["message"]) == (400, "limit must be between 1 and 500")


def test_a_terminated_cluster_is_changed_where_it_is(api: ClustersExt) -> None:
    """Editing a terminated cluster leaves it terminated."""
    api.edit(STOPPED, nearest_runtime(), cluster_name="renamed", custom_tags={"team": "iris"})
    shown = api.get(STOPPED)
    assert (shown.state, shown.cluster_name) == (State.TERMINATED, "renamed")
    assert shown.custom_tags == {"team": "iris"}
