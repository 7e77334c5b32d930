"""Personal access tokens that users create, through the SDK."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import PermissionDenied, ResourceDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Running


def test_a_token_from_its_making_to_its_end(running: Running) -> None:
    """A new token logs its owner in until it is revoked; a listing does not show its value."""
    owner = running.workspace("other@example.com")
    made = owner.tokens.create(comment="for a notebook", lifetime_seconds=60)
    assert made.token_value
    assert made.token_info
    client = WorkspaceClient(host=running.url, token=made.token_value)
    assert client.current_user.me().user_name == "other@example.com"
    (shown,) = owner.tokens.list()
    assert (shown.token_id, shown.comment) == (made.token_info.token_id, "for a notebook")
    assert made.token_value not in str(shown.as_dict())
    assert 0 < (shown.expiry_time or 0) - time.time() * 1000 <= 60_000
    owner.tokens.delete(str(shown.token_id))
    assert list(owner.tokens.list()) == []
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client.current_user.me()


def test_a_token_of_somebody_else_cannot_be_revoked(running: Running) -> None:
    """Revoking a missing token, or another user's, is refused; that token stays valid."""
    made = running.workspace("other@example.com").tokens.create()
    assert made.token_info
    for token_id in (str(made.token_info.token_id), "none"):
        with pytest.raises(ResourceDoesNotExist, match=f"Token with id {token_id} does not exist"):
            running.workspace().tokens.delete(token_id)
    assert WorkspaceClient(host=running.url, token=made.token_value).current_user.me().user_name


def test_tokens_survive_a_restart(start_sandbox: Callable[..., Running]) -> None:
    """Tokens are valid after a restart of the server."""
    first = start_sandbox()
    made = first.workspace().tokens.create()
    first.stop()
    again = start_sandbox()
    client = WorkspaceClient(host=again.url, token=made.token_value)
    assert [token.expiry_time for token in client.tokens.list()] == [-1]
