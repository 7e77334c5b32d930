"""Secrets, with the SDK and in notebooks."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.service.workspace import AclPermission

from kedro_databricks_hybrid.sandbox.secrets import model
from tests.sandbox.notebooks import open_notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.workspace import SecretsAPI

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes


@pytest.fixture
def api(workspace: WorkspaceClient) -> SecretsAPI:
    """Return the SDK's client, with a scope `mine`."""
    workspace.secrets.create_scope("mine")
    return workspace.secrets


def test_put_list_get_and_delete(api: SecretsAPI) -> None:
    """A listing has no values; get returns the latest value in base64."""
    api.put_secret("mine", "password", string_value="old")
    api.put_secret("mine", "password", string_value="grün")
    api.put_secret("mine", "bytes", bytes_value=base64.b64encode(b"\x00\xff").decode())
    assert [secret.key for secret in api.list_secrets("mine")] == ["bytes", "password"]
    assert base64.b64decode(api.get_secret("mine", "password").value or "").decode() == "grün"
    assert api.get_secret("mine", "bytes").value == base64.b64encode(b"\x00\xff").decode()
    api.delete_secret("mine", "password")
    with pytest.raises(ResourceDoesNotExist):
        api.get_secret("mine", "password")
    with pytest.raises(ResourceDoesNotExist):
        api.delete_secret("mine", "password")


def test_scopes(api: SecretsAPI) -> None:
    """Names are unique; a scope is deleted with its secrets."""
    assert [scope.name for scope in api.list_scopes()] == ["mine"]
    with pytest.raises(ResourceAlreadyExists):
        api.create_scope("mine")
    api.put_secret("mine", "a", string_value="b")
    api.delete_scope("mine")
    for call in (api.delete_scope, lambda name: list(api.list_secrets(name))):
        with pytest.raises(ResourceDoesNotExist):
            call("mine")
    api.create_scope("mine")
    assert list(api.list_secrets("mine")) == []


def test_scopes_of_others(running: Running, api: SecretsAPI) -> None:
    """Other users can use only shared scopes."""
    api.put_secret("mine", "a", string_value="b")
    api.create_scope("ours", initial_manage_principal="users")
    other = running.workspace("other@example.com").secrets
    assert [scope.name for scope in other.list_scopes()] == ["ours"]
    other.put_secret("ours", "a", string_value="b")
    for call in (other.get_secret, other.delete_secret):
        with pytest.raises(PermissionDenied):
            call("mine", "a")


@pytest.mark.parametrize("name", ["", "a" * 129, "a/b", "a b", "ä"])
def test_names_that_no_secret_has(api: SecretsAPI, name: str) -> None:
    """Invalid names are refused."""
    with pytest.raises(InvalidParameterValue):
        api.put_secret("mine", name, string_value="x")


def test_limits(api: SecretsAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value has at most 128 KB, a scope at most a thousand secrets, a request exactly one value."""
    api.put_secret("mine", "a", string_value="x" * 128 * 1024)
    with pytest.raises(InvalidParameterValue):
        api.put_secret("mine", "b", string_value="x" * (128 * 1024 + 1))
    monkeypatch.setattr(model, "MAX_SECRETS", 1)
    with pytest.raises(BadRequest, match="already"):
        api.put_secret("mine", "b", string_value="x")
    api.put_secret("mine", "a", string_value="x")
    for values in ({}, {"string_value": "x", "bytes_value": "eA=="}):
        with pytest.raises(BadRequest, match="Exactly one"):
            api.put_secret("mine", "a", **values)


def test_they_survive_a_restart(start_sandbox: Callable[..., Running]) -> None:
    """Secrets survive a restart, in a file that only its owner can read."""
    first = start_sandbox()
    first.workspace().secrets.create_scope("s")
    first.workspace().secrets.put_secret("s", "k", string_value="v")
    first.stop()
    second = start_sandbox()
    assert second.workspace().secrets.get_secret("s", "k").value == "dg=="
    assert (second.sandbox.layout.state / "secrets.json").stat().st_mode & 0o077 == 0


def test_in_a_notebook(running: Running, http: httpx.Client, api: SecretsAPI) -> None:
    """`dbutils.secrets` reads them; output and errors are redacted, the values themselves are not."""
    api.put_secret("mine", "k", string_value="hunter2")
    notebook = open_notebook(http)
    assert notebook.text("v = dbutils.secrets.get('mine', 'k'); print(v, len(v)); v") == (
        "[REDACTED] 7\n'[REDACTED]'"
    )
    assert "hunter2" not in str(notebook.results("raise ValueError(v)"))
    assert notebook.text("dbutils.secrets.list('mine')[0].key, dbutils.secrets.listScopes()[0].name") == (
        "('k', 'mine')"
    )
    assert "RESOURCE_DOES_NOT_EXIST" in notebook.results("dbutils.secrets.get('mine', 'x')")["summary"]
    with pytest.raises(NotFound):
        api.get_secret("mine", "x")


def test_a_notebook_holds_no_token_of_its_user(running: Running, http: httpx.Client) -> None:
    """A notebook's token has its user's permissions, and is invalid once the context ends."""
    notebook = open_notebook(http)
    known = notebook.text(
        "import os\nprint(sorted(os.environ.items()))\nprint(open('/databricks/access.json').read())"
    )
    assert running.sandbox.user.token not in known
    file = running.sandbox.layout.kernels / notebook.context / "databricks" / "access.json"
    assert file.stat().st_mode & 0o077 == 0
    assert file.stat().st_uid == os.getuid()
    token = known.rpartition('"token": "')[2].partition('"')[0]
    headers = {"Authorization": f"Bearer {token}"}
    assert http.get("/api/2.0/secrets/scopes/list", headers=headers).status_code == 200
    assert http.get("/sandbox/faults", headers=headers).status_code == 403
    notebook.ask("POST", "contexts/destroy")
    assert http.get("/api/2.0/secrets/scopes/list", headers=headers).status_code == 403


def test_what_is_no_scope(api: SecretsAPI, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing scope, an unknown principal or backend, and one scope too many are refused."""
    base = "/api/2.0/secrets/scopes/create"
    for fields, words in (
        ({"scope": "a:b"}, "alphanumeric characters"),
        ({"scope": "a", "initial_manage_principal": "admins"}, "only supported principal"),
        ({"scope": "a", "scope_backend_type": "AZURE_KEYVAULT"}, "only scopes with the backend DATABRICKS"),
    ):
        answer = http.post(base, json=fields)
        assert answer.status_code == 400
        assert words in answer.json()["message"]
    monkeypatch.setattr(model, "MAX_SCOPES", 1)
    with pytest.raises(BadRequest, match="already has 1 scopes"):
        api.create_scope("a")
    assert [scope.name for scope in api.list_scopes()] == ["mine"]


def test_access_lists(api: SecretsAPI, running: Running) -> None:
    """Each permission allows what the lower ones allow, on one scope."""
    others = running.workspace("other@example.com").secrets
    api.put_secret("mine", "a", string_value="1")
    calls: list[tuple[str, Callable[[], object]]] = [
        ("READ", lambda: others.get_secret("mine", "a")),
        ("WRITE", lambda: others.put_secret("mine", "b", string_value="2")),
        ("MANAGE", lambda: list(others.list_acls("mine"))),
    ]
    for permission, call in calls:
        with pytest.raises(PermissionDenied, match=f"does not have {permission} permission on scope mine"):
            call()
        api.put_acl("mine", "other@example.com", AclPermission(permission))
        call()
    assert [
        (item.principal, str(item.permission and item.permission.value)) for item in api.list_acls("mine")
    ] == [
        ("user@example.com", "MANAGE"),
        ("other@example.com", "MANAGE"),
    ]
    api.delete_acl("mine", "other@example.com")
    with pytest.raises(NotFound, match="Failed to get secret acl for principal"):
        api.get_acl("mine", "other@example.com")
    with pytest.raises(NotFound, match="Principal nobody does not exist"):
        api.put_acl("mine", "nobody", AclPermission.READ)
    with pytest.raises(PermissionDenied):
        list(others.list_secrets("mine"))
