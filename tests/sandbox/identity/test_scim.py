"""Users, service principals and groups, through the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import BadRequest, NotFound, ResourceConflict
from databricks.sdk.service.iam import ComplexValue, Patch, PatchOp

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running


def test_a_group_and_its_members(workspace: WorkspaceClient, start_sandbox: Callable[..., Running]) -> None:
    """Members come and go; a group is found by its name, also after a restart."""
    user = workspace.users.create(user_name="new@example.com")
    assert [each.user_name for each in workspace.users.list(filter='userName eq "new@example.com"')] == [
        "new@example.com"
    ]
    group = workspace.groups.create(display_name="data-team")
    assert group.id is not None
    member = [{"value": user.id}]
    workspace.groups.patch(group.id, operations=[Patch(op=PatchOp.ADD, path="members", value=member)])
    again = start_sandbox().workspace()
    (found,) = again.groups.list(filter="displayName eq 'data-team'")
    assert [each.display for each in found.members or []] == ["new@example.com"]
    shown = again.users.get(user.id or "").groups or []
    assert [each.display for each in shown] == ["data-team", "users"]
    remove = Patch(op=PatchOp.REMOVE, path=f'members[value eq "{user.id}"]')
    again.groups.patch(group.id, operations=[remove])
    assert not again.groups.get(group.id).members
    again.groups.update(group.id, display_name="renamed", members=[ComplexValue(value=user.id)])
    assert {each.display_name for each in again.groups.list()} == {"users", "admins", "renamed"}
    again.groups.delete(group.id)
    with pytest.raises(NotFound):
        again.groups.get(group.id)


def test_a_service_principal(workspace: WorkspaceClient) -> None:
    """It has an application id, which is its name in permissions."""
    made = workspace.service_principals.create(display_name="deployer")
    (found,) = workspace.service_principals.list(filter=f'applicationId eq "{made.application_id}"')
    assert (found.display_name, found.id) == ("deployer", made.id)
    assert [each.user_name for each in workspace.users.list()] == ["user@example.com"]
    assert workspace.service_principals.get(made.id or "").application_id == made.application_id


def test_what_is_refused(workspace: WorkspaceClient) -> None:
    """Names that are taken, members that do not exist, and groups that every workspace has."""
    (users,) = workspace.groups.list(filter='displayName eq "users"')
    with pytest.raises(ResourceConflict, match="already exists"):
        workspace.users.create(user_name="user@example.com")
    with pytest.raises(ResourceConflict, match="already exists"):
        workspace.groups.create(display_name="admins")
    with pytest.raises(NotFound, match="User with id 7 not found"):
        workspace.groups.create(display_name="a", members=[ComplexValue(value="7")])
    with pytest.raises(BadRequest, match="cannot be deleted"):
        workspace.groups.delete(users.id or "")
    with pytest.raises(BadRequest, match="Invalid filter"):
        list(workspace.groups.list(filter="displayName"))
