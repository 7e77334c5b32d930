"""OAuth for machines: the SDK logs in as a service principal, as in CI, without a personal access token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from kedro_databricks_hybrid.databricks import workspace
from kedro_databricks_hybrid.errors import ConnectionFailedError, LoginError

if TYPE_CHECKING:
    from tests.sandbox.conftest import Running

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def login(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Set only the variables of an OAuth login."""
    monkeypatch.delenv("DATABRICKS_TOKEN", raising=False)
    monkeypatch.setenv("DATABRICKS_HOST", running.url)
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", running.sandbox.user.name)
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", running.sandbox.user.token)
    return running


def test_a_machine_logs_in(login: Running) -> None:
    """A client id and a secret are exchanged for a token that differs from the secret and expires."""
    there = workspace.connect(None)
    assert there.user == login.sandbox.user.name
    assert there.client.config.auth_type == "oauth-m2m"
    headers = there.client.config.authenticate()
    assert login.sandbox.user.token not in headers["Authorization"]


def test_a_token_that_has_ended_is_refused(login: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired token is refused; the SDK requests a new one before."""
    monkeypatch.setattr("kedro_databricks_hybrid.sandbox.identity.tokens.LIFETIME_SECONDS", 0)
    ended = login.sandbox.access_tokens.create(login.sandbox.user.name).value
    answer = httpx.get(
        f"{login.url}/api/2.0/preview/scim/v2/Me", headers={"Authorization": f"Bearer {ended}"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("wrong", ["DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"])
def test_a_wrong_login_is_said_in_one_line(
    login: Running, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A wrong client id or secret becomes one error line; the SDK raises a plain ValueError."""
    monkeypatch.setenv(wrong, "wrong")
    with pytest.raises(LoginError, match=r"does not accept the login .*invalid_client"):
        workspace.connect(None)


def test_a_host_that_does_not_answer_is_said_in_one_line(
    login: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable host, whose discovery document has the OAuth addresses, becomes one error line."""
    monkeypatch.setenv("DATABRICKS_HOST", NOBODY)
    with pytest.raises(ConnectionFailedError, match="does not return its OAuth endpoints"):
        workspace.connect(None)


def test_what_the_endpoint_refuses(login: Running) -> None:
    """Another grant and a missing client are refused."""
    url = f"{login.url}/oidc/v1/token"
    assert httpx.post(url, data={"grant_type": "password"}).json()["error"] == "unsupported_grant_type"
    assert httpx.post(url, data={"grant_type": "client_credentials"}).status_code == 401
    broken = {"Authorization": "Basic ="}
    assert httpx.post(url, data={"grant_type": "client_credentials"}, headers=broken).status_code == 401
