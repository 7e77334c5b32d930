"""The features of each kind of workspace, and switching from one kind to another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.catalog import VolumeType
from databricks.sdk.service.workspace import ObjectType

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from kedro_databricks_hybrid.sandbox.jobs.runs import SUCCEEDED
from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk import WorkspaceClient

    from kedro_databricks_hybrid.sandbox.jobs.runs import State
    from tests.sandbox.conftest import Remote, Running

ONLY_SERVERLESS = r"Only serverless compute is supported in the workspace\."
SWITCHES = "/sandbox/switches"


@pytest.fixture
def free(start_sandbox: Callable[..., Running]) -> Running:
    """Return a server that starts as a Free Edition workspace."""
    return start_sandbox(like="free-edition")


@pytest.mark.parametrize(("like", "catalog"), [("standard", "main"), ("free-edition", "workspace")])
def test_the_default_catalog(start_sandbox: Callable[..., Running], like: str, catalog: str) -> None:
    """The assigned metastore names the catalog; volumes can be created in its schema `default`."""
    workspace = start_sandbox(like=like).workspace()
    assigned = workspace.metastores.current()
    assert assigned.default_catalog_name == catalog
    assert workspace.metastores.summary().metastore_id == assigned.metastore_id
    assert [each.name for each in workspace.catalogs.list()] == [catalog]
    made = workspace.volumes.create(catalog, "default", "iris", VolumeType.MANAGED)
    assert made.full_name == f"{catalog}.default.iris"


def test_no_metastore_like_the_guide(workspace: WorkspaceClient) -> None:
    """The kind `guide` is a workspace without Unity Catalog."""
    for call in (workspace.metastores.current, workspace.metastores.summary):
        with pytest.raises(NotFound, match=r"No metastore assigned for the current workspace\.") as refusal:
            call()
        assert refusal.value.error_code == "METASTORE_DOES_NOT_EXIST"


def test_no_dbfs_root(free: Running) -> None:
    """With a disabled DBFS root, `/` can be listed, and paths below it are refused."""
    dbfs = free.workspace().dbfs
    assert [each.path for each in dbfs.list("/")] == ["/Volumes", "/Workspace", "/databricks-datasets"]
    for path in ("/root/projects", "/Volumes"):
        with pytest.raises(
            PermissionDenied,
            match=rf"Public DBFS root is disabled\. Access is denied on path: {path}",
        ):
            dbfs.get_status(path)


def test_no_clusters_on_free_edition(free: Running) -> None:
    """On Free Edition no cluster is listed or found, and none can be created by users or jobs."""
    workspace = free.workspace()
    assert list(workspace.clusters.list()) == []
    with pytest.raises(NotFound, match=f"Cluster {RUNNING_ID} does not exist"):
        workspace.clusters.get(RUNNING_ID)
    with pytest.raises(BadRequest, match=ONLY_SERVERLESS):
        workspace.clusters.create(spark_version=nearest_runtime())
    own = compute.ClusterSpec(spark_version=nearest_runtime())
    notebook = jobs.NotebookTask("/Shared/a")
    with pytest.raises(BadRequest, match=ONLY_SERVERLESS):
        workspace.jobs.submit(tasks=[jobs.SubmitTask("main", new_cluster=own, notebook_task=notebook)])
    with pytest.raises(BadRequest, match=ONLY_SERVERLESS):
        workspace.jobs.create(tasks=[jobs.Task("main", new_cluster=own, notebook_task=notebook)])


def test_no_environment_for_notebook_tasks(running: Running) -> None:
    """With the switch off, a run or job whose notebook task names an environment is refused."""
    workspace, notebook = running.workspace(), jobs.NotebookTask("/Shared/a")
    environment = jobs.JobEnvironment("default", spec=compute.Environment(dependencies=["six"]))
    environments = [environment]
    job = jobs.Task("main", environment_key="default", notebook_task=notebook)
    assert workspace.jobs.create(tasks=[job], environments=environments).job_id
    shown = running.http().post(SWITCHES, json={"task-environments": False}).json()
    assert shown["task-environments"] is False
    refused = "A task environment can not be provided for notebook task main"
    with pytest.raises(BadRequest, match=refused):
        workspace.jobs.create(tasks=[job], environments=environments)
    with pytest.raises(BadRequest, match=refused):
        workspace.jobs.submit(
            tasks=[jobs.SubmitTask("main", environment_key="default", notebook_task=notebook)],
            environments=environments,
        )
    assert workspace.jobs.create(
        tasks=[jobs.Task("main", notebook_task=notebook)], environments=environments
    ).job_id


def test_five_tasks_at_once_on_free_edition(free: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further tasks wait until a running one has ended."""
    at_work: set[object] = set()
    most: list[int] = []

    async def work(self: JobWork, *given: object) -> State:
        del self
        at_work.add(given[2])
        most.append(len(at_work))
        for _ in range(20):
            await asyncio.sleep(0)
        at_work.remove(given[2])
        return SUCCEEDED

    monkeypatch.setattr(JobWork, "_do_now", work)
    tasks = [jobs.SubmitTask(str(key), notebook_task=jobs.NotebookTask("/Shared/a")) for key in range(12)]
    run = free.workspace().jobs.submit(tasks=tasks).result()
    assert run.state is not None
    assert run.state.result_state is jobs.RunResultState.SUCCESS
    assert (len(most), max(most)) == (12, 5)


def test_clusters_in_standard_access_mode(start_sandbox: Callable[..., Running]) -> None:
    """The first clusters have this mode."""
    workspace = start_sandbox(like="standard").workspace()
    modes = {each.data_security_mode for each in workspace.clusters.list()}
    assert modes == {compute.DataSecurityMode.USER_ISOLATION}


def test_git_folders_show_as_folders(free: Running, remote: Remote) -> None:
    """Outside /Repos they are a DIRECTORY with an id and a path; in /Repos a REPO with all Git details."""
    workspace, url = free.workspace(), str(remote.bare)
    for parent, kind in (("Users", "DIRECTORY"), ("Repos", "REPO")):
        path = f"/{parent}/user@example.com/iris"
        made = workspace.repos.create(url=url, provider="gitHub", path=path)
        asked = {"path": path, "return_git_info": "true"}
        shown = free.http().get("/api/2.0/workspace/get-status", params=asked).json()
        assert (shown["object_type"], shown["object_id"]) == (kind, made.id)
        if kind == "DIRECTORY":
            assert shown["git_info"] == {"id": made.id, "path": path}
            assert shown["directory_info"] == {"is_git_folder": True}
        else:
            assert shown["git_info"]["url"] == url
            assert "directory_info" not in shown
        home = workspace.workspace.list(f"/{parent}/user@example.com")
        listed = {each.path: each.object_type for each in home}
        assert listed[path] == ObjectType(kind)
        assert workspace.repos.get(made.id or 0).url == url


def test_becoming_another_kind(start_sandbox: Callable[..., Running]) -> None:
    """Switching the kind applies at once and after a restart; switching back restores clusters and data."""
    first = start_sandbox()
    http, workspace = first.http(), first.workspace()
    shown = http.post(SWITCHES, json={"like": "free-edition"}).json()
    assert (shown["like"], shown["public-dbfs-root"]) == ("free-edition", False)
    assert list(workspace.clusters.list()) == []
    assert workspace.schemas.get("workspace.default").name == "default"
    first.stop()
    second = start_sandbox()
    assert second.sandbox.like == "free-edition"
    assert list(second.workspace().clusters.list()) == []
    second.stop()
    third = start_sandbox(like="guide")
    assert third.sandbox.public_dbfs_root
    clusters = list(third.workspace().clusters.list())
    assert [each.state for each in clusters] == [compute.State.TERMINATED] * 2
    assert third.workspace().volumes.read("main.default.data").name == "data"


def test_removed_objects_stay_removed(start_sandbox: Callable[..., Running]) -> None:
    """Starting again as the same kind does not restore removed objects."""
    first = start_sandbox(like="free-edition")
    first.workspace().schemas.delete("workspace.default")
    first.stop()
    again = start_sandbox(like="free-edition").workspace()
    assert list(again.schemas.list("workspace")) == []


def test_an_unknown_kind(running: Running) -> None:
    """An unknown kind: the error names the known ones."""
    answer = running.http().post(SWITCHES, json={"like": "cheap"})
    assert answer.json()["message"] == "like must be one of: guide, standard, free-edition."
