"""The Git credential with which Databricks fetches from a private repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from kedro_databricks_hybrid.workspace import Workspace


def find(workspace: Workspace, provider: str) -> int | None:
    """Return the id of the user's credential for a provider, None where there is none."""
    with translated("list the Git credentials"):
        found = list(workspace.client.git_credentials.list())
    return next((c.credential_id for c in found if (c.git_provider or "").lower() == provider.lower()), None)


def register(workspace: Workspace, provider: str, user: str | None, token: str) -> str:
    """Create the credential for a provider, or update the one that there is.

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
            return "created"
        workspace.client.git_credentials.update(
            credential_id, provider, git_username=user, personal_access_token=token
        )
        return "updated"
