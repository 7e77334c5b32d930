"""Authentication, and the public discovery document."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied

if TYPE_CHECKING:
    from tests.sandbox.conftest import Running

ME = "/api/2.0/preview/scim/v2/Me"


def test_the_client_is_built_without_a_warning(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK reads the discovery document, without a token."""
    with caplog.at_level(logging.WARNING, logger="databricks"):
        client = WorkspaceClient(host=running.url, token=running.sandbox.user.token)
        assert client.current_user.me().user_name == "user@example.com"
    assert caplog.records == []
    assert str(client.get_workspace_id()) == running.sandbox.org_id


def test_every_user_is_told_who_he_is(running: Running) -> None:
    """Each token returns its own user."""
    me = running.workspace("other@example.com").current_user.me()
    assert (me.user_name, me.active) == ("other@example.com", True)
    assert me.id != running.workspace().current_user.me().id


def test_the_org_id_is_in_every_answer(http: httpx.Client, running: Running) -> None:
    """Every answer has the workspace's id, also a refusal."""
    for path in (ME, "/api/2.0/nowhere"):
        assert http.get(path).headers["x-databricks-org-id"] == running.sandbox.org_id


def test_a_wrong_token(running: Running) -> None:
    """A wrong token gives 403 with the API's message."""
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        WorkspaceClient(host=running.url, token="dapi-wrong").current_user.me()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic dXNlcjpwYXNz", "dapi"])
def test_no_token(running: Running, header: str | None) -> None:
    """A request without a token gives 401, whatever else is sent."""
    headers = {} if header is None else {"Authorization": header}
    answer = httpx.get(running.url + ME, headers=headers)
    assert answer.status_code == 401
    assert "message" in answer.json()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:80", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_the_host_header(http: httpx.Client, host: str, status: int) -> None:
    """A request with another host name, as from a page that resolves to this machine, is refused."""
    assert http.get(ME, headers={"Host": host}).status_code == status


def test_an_endpoint_that_is_not_there(
    http: httpx.Client, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown endpoint or method gives 404 ENDPOINT_NOT_FOUND and is logged."""
    for method, path in (("GET", "/api/2.0/nowhere"), ("DELETE", ME), ("GET", "/"), ("GET", ME + "/")):
        answer = http.request(method, path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert answer.json()["message"].startswith("No API found for 'GET /preview/scim/v2/Me/'")
    assert any("/api/2.0/nowhere" in record.getMessage() for record in caplog.records)
    with pytest.raises(NotFound):
        list(running.workspace().warehouses.list())
