"""The Git credential with which Databricks fetches from a private repository."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from kedro_databricks_hybrid.git_folder import GitFolder
    from kedro_databricks_hybrid.workspace import Workspace

_NO_SUCH_BRANCH = "kedro-hybrid/no-such-branch"
# How Databricks says that the remote did not let it in; a private repository is also called missing.
_NOT_LET_IN = re.compile(
    r"credential|authenticat|unauthorized|(permission|access) denied|personal access token|app password"
    r"|returned error: 40[13]|repo(sitory)? not found",
    re.IGNORECASE,
)
_URL = re.compile(r"\w+://\S+")
NAMES_NEEDED = frozenset({"bitbucketCloud", "bitbucketServer", "awsCodeCommit"})
"""Providers that want a user name beside the token."""


def find(workspace: Workspace, provider: str) -> int | None:
    """Return the id of the user's credential for a provider, the default one of several; None without any."""
    with translated("list the Git credentials"):
        every = list(workspace.client.git_credentials.list())
    found = [each for each in every if (each.git_provider or "").lower() == provider.lower()]
    found.sort(key=lambda each: not getattr(each, "is_default_for_provider", False))
    return found[0].credential_id if found else None


def is_refusal(words: str, *names: str) -> bool:
    """Tell whether Databricks' words mean that a Git remote did not let it in.

    Args:
        words: What was tried, and what it said.
        *names: The remote, folder and branch in these words, which mean nothing by what they are called.
    """
    return bool(_NOT_LET_IN.search(without(words, *names)))


def without(words: str, *names: str) -> str:
    """Return words without these names in them, and without any URL."""
    for name in filter(None, names):
        words = re.sub(rf"(?<![\w/-]){re.escape(name)}(?![\w/-])", "-", words)
    return _URL.sub("-", words)


def hint(workspace: Workspace) -> str:
    """Return how to give Databricks a credential that works."""
    return f"Give Databricks your Git token: kedro databricks init --git-token-env=VARIABLE{workspace.flags}"


def refusal(workspace: Workspace, folder: GitFolder) -> str | None:
    """Have Databricks fetch from a Git folder's remote, and return its words if the remote did not let it in.

    It is asked for a branch that no remote has: it must log in and look before it can say that there is none,
    and then it has nothing to check out, so the folder stays as it is.

    Raises:
        WorkspaceError: It could not be tried.
    """
    try:
        with translated(f"fetch from {folder.url}"):
            body = {"branch": _NO_SUCH_BRANCH}
            workspace.client.api_client.do("PATCH", f"/api/2.0/repos/{folder.repo_id}", body=body)
    except WorkspaceError as error:
        if is_refusal(error.message, folder.url, str(folder.path)):
            return error.message
        if _NO_SUCH_BRANCH not in error.message:
            raise
    return None


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
