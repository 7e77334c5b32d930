"""The Git credential with which Databricks fetches from a private repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from kedro_databricks_hybrid.workspace import Workspace

NAMES_NEEDED = frozenset({"bitbucketCloud", "bitbucketServer", "awsCodeCommit"})
"""Providers that want a user name beside the token."""


def find(workspace: Workspace, provider: str) -> int | None:
    """Return the id of the user's credential for a provider, the default one of several; None without any."""
    with translated("list the Git credentials"):
        every = list(workspace.client.git_credentials.list())
    found = [each for each in every if (each.git_provider or "").lower() == provider.lower()]
    found.sort(key=lambda each: not getattr(each, "is_default_for_provider", False))
    return found[0].credential_id if found else None


def register(workspace: Workspace, provider: str, user: str | None, token: str) -> str:
    """Create the credential for a provider, or update the one that there is, and read it back.

    Args:
        workspace: Where.
        provider: Databricks' name for the Git provider.
        user: The name at the provider; None where it takes a token alone.
        token: The provider's token; it goes into the request's body and nowhere else.

    Returns:
        `created` or `updated`.
    """
    credential_id = find(workspace, provider)
    with translated(f"register the Git credential for {provider}"):
        if credential_id is None:
            workspace.client.git_credentials.create(provider, git_username=user, personal_access_token=token)
        else:
            workspace.client.git_credentials.update(
                credential_id, provider, git_username=user, personal_access_token=token
            )
    if find(workspace, provider) is None:
        raise WorkspaceError(f"Databricks accepted the Git credential for {provider}, but does not show it.")
    return "created" if credential_id is None else "updated"
