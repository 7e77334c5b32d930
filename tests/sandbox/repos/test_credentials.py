"""Git credentials, through the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import InvalidParameterValue, ResourceDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running


def test_create_list_get_update_delete(workspace: WorkspaceClient) -> None:
    """A credential is created, read, changed and deleted; the provider has the API's spelling."""
    api = workspace.git_credentials
    made = api.create(git_provider="GITHUB", git_username="me", personal_access_token="secret")
    assert (made.git_provider, made.git_username, made.is_default_for_provider) == ("gitHub", "me", True)
    assert [credential.credential_id for credential in api.list()] == [made.credential_id]
    api.update(made.credential_id, git_provider="gitHub", git_username="you")
    assert api.get(made.credential_id).git_username == "you"
    api.delete(made.credential_id)
    assert list(api.list()) == []
    for call in (lambda: api.get(made.credential_id), lambda: api.delete(made.credential_id)):
        with pytest.raises(ResourceDoesNotExist):
            call()


def test_the_token_is_in_no_answer(http: httpx.Client) -> None:
    """No answer of create, get, list or update contains it."""
    base = "/api/2.0/git-credentials"
    body = {"git_provider": "gitHub", "git_username": "me", "personal_access_token": "open-sesame"}
    made = http.post(base, json=body)
    one = f"{base}/{made.json()['credential_id']}"
    for answer in (made, http.get(base), http.get(one), http.patch(one, json=body)):
        assert answer.status_code == 200
        assert "sesame" not in answer.text


def test_one_default_a_provider(workspace: WorkspaceClient) -> None:
    """The first one is the default until another one is made the default."""
    api = workspace.git_credentials
    first = api.create(git_provider="gitHub", personal_access_token="a", name="first")
    second = api.create(git_provider="gitHub", personal_access_token="b", name="second")
    assert (first.is_default_for_provider, second.is_default_for_provider) == (True, False)
    api.update(second.credential_id, git_provider="gitHub", is_default_for_provider=True)
    assert api.get(first.credential_id).is_default_for_provider is False
    assert api.get(second.credential_id).is_default_for_provider is True


def test_an_unknown_provider(workspace: WorkspaceClient) -> None:
    """An unknown provider is refused with the list of providers."""
    with pytest.raises(InvalidParameterValue, match="awsCodeCommit"):
        workspace.git_credentials.create(git_provider="sourceforge")


def test_credentials_are_personal(running: Running) -> None:
    """Other users cannot see or use them."""
    made = running.workspace().git_credentials.create(git_provider="gitHub", personal_access_token="a")
    other = running.workspace("other@example.com").git_credentials
    assert list(other.list()) == []
    assert made.credential_id
    credential_id = made.credential_id
    calls: list[Callable[[], object]] = [
        lambda: other.get(credential_id),
        lambda: other.update(credential_id, git_provider="gitHub"),
        lambda: other.delete(credential_id),
    ]
    for call in calls:
        with pytest.raises(ResourceDoesNotExist):
            call()


def test_credentials_survive_a_restart_in_a_private_file(start_sandbox: Callable[..., Running]) -> None:
    """Only the owner of the file can read them."""
    first = start_sandbox()
    first.workspace().git_credentials.create(git_provider="gitHub", personal_access_token="a")
    first.stop()
    again = start_sandbox()
    assert len(list(again.workspace().git_credentials.list())) == 1
    mode = (again.sandbox.layout.state / "git_credentials.json").stat().st_mode
    assert mode & 0o077 == 0


def test_a_default_is_chosen(workspace: WorkspaceClient) -> None:
    """A new credential may be the default at once; other providers keep theirs."""
    api = workspace.git_credentials
    other = api.create(git_provider="gitLab", personal_access_token="a")
    first = api.create(git_provider="gitHub", personal_access_token="b")
    second = api.create(git_provider="gitHub", personal_access_token="c", is_default_for_provider=True)
    defaults = {each.credential_id: each.is_default_for_provider for each in api.list()}
    assert defaults == {other.credential_id: True, first.credential_id: False, second.credential_id: True}


@pytest.mark.parametrize("token", ["a\nb", "x" * 10_001])
def test_what_is_no_token(workspace: WorkspaceClient, token: str) -> None:
    """An invalid token is refused with a message that does not repeat it, and not saved."""
    with pytest.raises(InvalidParameterValue, match="personal_access_token is not a token"):
        workspace.git_credentials.create(git_provider="gitHub", personal_access_token=token)
    assert list(workspace.git_credentials.list()) == []
