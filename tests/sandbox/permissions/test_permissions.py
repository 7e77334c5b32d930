"""Permissions on jobs and objects of the workspace, through the SDK: kept, listed, checked, and honoured."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service import jobs
from databricks.sdk.service.compute import ClusterAccessControlRequest, ClusterPermissionLevel
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import JobAccessControlRequest, JobPermissionLevel
from databricks.sdk.service.workspace import ImportFormat

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from tests.sandbox.notebooks import open_notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

USER, OTHER = "user@example.com", "other@example.com"
HOME = f"/Users/{USER}"


@pytest.fixture
def other(running: Running) -> WorkspaceClient:
    """Return the client of a second user."""
    return running.workspace(OTHER)


def _shown(answer: Any) -> list[tuple[str, str, bool]]:
    """Return the principals, levels and whether they are inherited."""
    return [
        (
            one.user_name or one.group_name or one.service_principal_name,
            each.permission_level.value,
            bool(each.inherited),
        )
        for one in answer.access_control_list
        for each in one.all_permissions
    ]


def _grant(level: PermissionLevel, **principal: str) -> list[AccessControlRequest]:
    return [AccessControlRequest(permission_level=level, **principal)]


def test_a_job_is_used_by_those_who_may(
    workspace: WorkspaceClient, other: WorkspaceClient, running: Running
) -> None:
    """Each level allows what the lower ones allow; a run has the permissions of the job's owner."""
    condition = jobs.ConditionTask(jobs.ConditionTaskOp.EQUAL_TO, "1", "1")
    task = jobs.Task(task_key="main", condition_task=condition)
    job_id = workspace.jobs.create(name="shared", tasks=[task]).job_id
    assert job_id is not None
    calls: list[tuple[str, Callable[[], object]]] = [
        ("CAN_VIEW", lambda: other.jobs.get(job_id)),
        ("CAN_MANAGE_RUN", lambda: other.jobs.run_now(job_id)),
        ("", lambda: other.jobs.update(job_id)),
        ("", lambda: other.jobs.set_permissions(str(job_id), access_control_list=[])),
    ]
    for level, call in calls:
        with pytest.raises(PermissionDenied, match=rf"ermissions on (job {job_id}|Job with ID: .*{job_id})"):
            call()
        if level:
            entry = JobAccessControlRequest(permission_level=JobPermissionLevel(level), user_name=OTHER)
            workspace.jobs.update_permissions(str(job_id), access_control_list=[entry])
            call()
    assert [job.job_id for job in other.jobs.list()] == [job_id]
    run = next(iter(other.jobs.list_runs(job_id=job_id)))
    assert run.creator_user_name == OTHER
    assert workspace.jobs.get_run(run.run_id or 0).job_id == job_id
    assert _shown(workspace.jobs.get_permissions(str(job_id))) == [
        (USER, "IS_OWNER", False),
        (OTHER, "CAN_MANAGE_RUN", False),
        ("admins", "CAN_MANAGE", True),
    ]
    owner = JobAccessControlRequest(permission_level=JobPermissionLevel.IS_OWNER, user_name=OTHER)
    workspace.jobs.set_permissions(str(job_id), access_control_list=[owner])
    with pytest.raises(PermissionDenied):
        workspace.jobs.get(job_id)
    other.jobs.delete(job_id)
    assert running.sandbox.permissions.keys_below("jobs/") == []


def test_a_job_has_one_owner(workspace: WorkspaceClient, http: httpx.Client) -> None:
    """PUT replaces the list, PATCH keeps it; permissions can be given when the job is created."""
    level = JobAccessControlRequest(permission_level=JobPermissionLevel.CAN_VIEW, group_name="users")
    job_id = workspace.jobs.create(name="a", access_control_list=[level]).job_id
    assert _shown(workspace.jobs.get_permissions(str(job_id)))[:2] == [
        (USER, "IS_OWNER", False),
        ("users", "CAN_VIEW", False),
    ]
    answer = http.put(f"/api/2.0/permissions/jobs/{job_id}", json={"access_control_list": [level.as_dict()]})
    assert (answer.status_code, answer.json()["message"]) == (400, "The job must have exactly one owner.")
    levels = workspace.jobs.get_permission_levels(str(job_id)).permission_levels or []
    assert [(one.permission_level.value, one.description) for one in levels if one.permission_level][1] == (
        "CAN_MANAGE_RUN",
        "Can Manage Run permission on job",
    )


@pytest.mark.parametrize(
    ("kind", "entry", "message"),
    [
        ("jobs", {"user_name": "no@example.com"}, "Principal: UserName(no@example.com) does not exist"),
        ("jobs", {"group_name": "no"}, "Principal: GroupName(no) does not exist"),
        ("jobs", {"service_principal_name": USER}, f"Principal: ServicePrincipalName({USER}) does not exist"),
        (
            "jobs",
            {"group_name": "users", "permission_level": "IS_OWNER"},
            "The group users cannot be the owner",
        ),
        ("jobs", {}, "Principal name not defined"),
        ("jobs", {"user_name": USER, "permission_level": "CAN_RUN"}, "Invalid permission level 'CAN_RUN'"),
        (
            "clusters",
            {"user_name": USER, "permission_level": "CAN_VIEW"},
            "use one of CAN_ATTACH_TO, CAN_RES",
        ),
        ("apps", {"user_name": USER}, "The sandbox has no objects of type 'apps': use one of jobs, clusters"),
    ],
)
def test_what_is_refused(
    workspace: WorkspaceClient, http: httpx.Client, kind: str, entry: dict[str, str], message: str
) -> None:
    """A principal or level that does not exist is named, and nothing changes."""
    number = workspace.jobs.create(name="a").job_id if kind == "jobs" else RUNNING_ID
    entries = [{"permission_level": "CAN_VIEW", **entry}]
    answer = http.patch(f"/api/2.0/permissions/{kind}/{number}", json={"access_control_list": entries})
    assert answer.status_code in {400, 404}
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    "kind", ["jobs", "clusters", "directories", "files", "instance-pools", "cluster-policies"]
)
def test_objects_that_are_missing(workspace: WorkspaceClient, kind: str) -> None:
    """They have no permissions."""
    with pytest.raises(DatabricksError, match="12345 does not exist"):
        workspace.permissions.get(kind, "12345")


def test_a_folder_is_shared(workspace: WorkspaceClient, other: WorkspaceClient, running: Running) -> None:
    """All that is in it inherits the level, which decides what another user may do there."""
    folder = f"{HOME}/shared"
    workspace.workspace.mkdirs(f"{folder}/deep")
    content = base64.b64encode(b"# Databricks notebook source\n1").decode()
    workspace.workspace.import_(f"{folder}/deep/task.py", content=content, format=ImportFormat.AUTO)
    number = str(workspace.workspace.get_status(folder).object_id)

    def write(name: str, overwrite: bool) -> None:
        other.workspace.import_(
            f"{folder}/deep/{name}", content=content, format=ImportFormat.AUTO, overwrite=overwrite
        )

    calls: list[tuple[PermissionLevel, Callable[[], object]]] = [
        (PermissionLevel.CAN_READ, lambda: other.workspace.get_status(f"{folder}/deep/task")),
        (PermissionLevel.CAN_EDIT, lambda: write("task.py", overwrite=True)),
        (PermissionLevel.CAN_MANAGE, lambda: write("new.py", overwrite=False)),
        (PermissionLevel.CAN_MANAGE, lambda: other.workspace.mkdirs(f"{folder}/made/below")),
        (PermissionLevel.CAN_MANAGE, lambda: other.workspace.delete(f"{folder}/deep/new")),
    ]
    for level, call in calls:
        if level is not PermissionLevel.CAN_MANAGE or call is calls[2][1]:
            with pytest.raises(PermissionDenied, match="does not have permission to access"):
                call()
        workspace.permissions.update(
            "directories", number, access_control_list=_grant(level, user_name=OTHER)
        )
        call()
    with pytest.raises(PermissionDenied):
        other.workspace.get_status(f"{HOME}/not-shared")
    notebook = str(workspace.workspace.get_status(f"{folder}/deep/task").object_id)
    assert _shown(workspace.permissions.get("notebooks", notebook)) == [
        ("admins", "CAN_MANAGE", True),
        (USER, "CAN_MANAGE", True),
        (OTHER, "CAN_MANAGE", True),
    ]
    workspace.workspace.delete(folder, recursive=True)
    workspace.workspace.mkdirs(folder)
    assert running.sandbox.permissions.keys_below("/") == []
    with pytest.raises(PermissionDenied):
        other.workspace.get_status(folder)


def test_a_notebook_is_shared_with_a_group(workspace: WorkspaceClient, other: WorkspaceClient) -> None:
    """Its members may read it, and no other file beside it."""
    for name in ("one.py", "two.py"):
        content = base64.b64encode(b"# Databricks notebook source\n1").decode()
        workspace.workspace.import_(f"{HOME}/{name}", content=content, format=ImportFormat.AUTO)
    number = str(workspace.workspace.get_status(f"{HOME}/one").object_id)
    workspace.permissions.set(
        "notebooks", number, access_control_list=_grant(PermissionLevel.CAN_READ, group_name="users")
    )
    assert b"notebook source" in other.workspace.download(f"{HOME}/one").read()
    with pytest.raises(PermissionDenied):
        other.workspace.get_status(f"{HOME}/two")
    with pytest.raises(PermissionDenied):
        other.permissions.set("notebooks", number, access_control_list=[])


def test_other_kinds_keep_permissions(
    workspace: WorkspaceClient, start_sandbox: Callable[..., Running]
) -> None:
    """Clusters, instance pools, policies and pipelines; also after a restart."""
    pool = workspace.instance_pools.create("pool", node_type_id="sandbox.local").instance_pool_id
    policy = workspace.cluster_policies.create(name="policy", definition="{}").policy_id
    pipeline = workspace.pipelines.create(name="flow", catalog="main", serverless=True).pipeline_id
    assert pool is not None
    assert policy is not None
    assert pipeline is not None
    attach = ClusterAccessControlRequest(
        permission_level=ClusterPermissionLevel.CAN_ATTACH_TO, group_name="users"
    )
    workspace.clusters.update_permissions(RUNNING_ID, access_control_list=[attach])
    grants = (
        ("instance-pools", pool, "CAN_ATTACH_TO"),
        ("cluster-policies", policy, "CAN_USE"),
        ("pipelines", pipeline, "CAN_RUN"),
    )
    for kind, number, level in grants:
        entries = _grant(PermissionLevel(level), group_name="users")
        workspace.permissions.update(kind, number, access_control_list=entries)
    with pytest.raises(DatabricksError, match="Instance pool with name 'pool' already exists"):
        workspace.instance_pools.create("pool", node_type_id="sandbox.local")
    again = start_sandbox().workspace()
    for kind, number, level in (*grants, ("clusters", RUNNING_ID, "CAN_ATTACH_TO")):
        assert ("users", level, False) in _shown(again.permissions.get(kind, number))
    assert [one.instance_pool_name for one in again.instance_pools.list()] == ["pool"]
    again.pipelines.update(pipeline, name="flow", catalog="other")
    spec = again.pipelines.get(pipeline).spec
    assert spec
    assert (spec.catalog, spec.serverless) == ("other", None)
    with pytest.raises(BadRequest, match="cannot run them"):
        again.pipelines.start_update(pipeline)
    again.pipelines.delete(pipeline)
    assert list(again.pipelines.list_pipelines()) == []
    again.cluster_policies.edit(policy, name="renamed")
    assert again.cluster_policies.get(policy).name == "renamed"
    again.cluster_policies.delete(policy)
    again.instance_pools.delete(pool)
    with pytest.raises((NotFound, DatabricksError), match="does not exist"):
        again.cluster_policies.get(policy)


@pytest.mark.namespaces
@pytest.mark.processes
def test_notebooks_see_shared_folders(workspace: WorkspaceClient, running: Running) -> None:
    """In others' homes nothing else; a folder that may only be read cannot be changed."""
    for name, level in (("read", PermissionLevel.CAN_READ), ("edit", PermissionLevel.CAN_EDIT)):
        workspace.workspace.mkdirs(f"{HOME}/{name}")
        workspace.workspace.upload(f"{HOME}/{name}/a.txt", b"text", format=ImportFormat.AUTO)
        number = str(workspace.workspace.get_status(f"{HOME}/{name}").object_id)
        entries = _grant(level, user_name=OTHER)
        running.workspace(OTHER)
        workspace.permissions.update("directories", number, access_control_list=entries)
    notebook = open_notebook(running.http(OTHER))
    home = f"/Workspace{HOME}"
    assert notebook.text(f"import os; sorted(os.listdir({home!r}))") == "['edit', 'read']"
    assert notebook.text(f"open('{home}/read/a.txt').read()") == "'text'"
    assert notebook.text(f"open('{home}/edit/b.txt', 'w').write('x')") == "1"
    assert "Read-only file system" in notebook.text(
        f"try:\n    open('{home}/read/b.txt', 'w')\nexcept OSError as error:\n    print(error)"
    )
