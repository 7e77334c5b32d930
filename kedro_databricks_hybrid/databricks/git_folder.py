"""The Git folder: Databricks' clone of the remote. Create it, check out, and verify its commit.

Also finds and registers the user's Git credential, with which Databricks fetches from a private remote.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.retry import Backoff
from kedro_databricks_hybrid.databricks.transport import is_busy
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import (
    ConnectionFailedError,
    HybridError,
    NotFoundError,
    WorkspaceError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.databricks.workspace import Workspace

# In the message if a clone stops in the middle, which leaves a Git folder with a commit but without files.
_INCOMPLETE = "Repo may be incomplete"
_READ_BACK_SECONDS = 10.0
_NO_SUCH_BRANCH = "kedro-hybrid/no-such-branch"
# Databricks' message if the remote denies access; a private repository is also reported as missing.
_ACCESS_DENIED = re.compile(
    r"credential|authenticat|unauthorized|(permission|access) denied|personal access token|app password"
    r"|returned error: 40[13]|repo(sitory)? not found",
    re.IGNORECASE,
)
_URL = re.compile(r"\w+://\S+")
PROVIDERS_NEEDING_A_NAME = frozenset({"bitbucketCloud", "bitbucketServer", "awsCodeCommit"})
"""Providers that require a user name with the token."""


@dataclass(frozen=True)
class GitFolder:
    """A Git folder as Databricks describes it.

    Args:
        repo_id: Its id in the repos API.
        path: Its path, such as `/Workspace/Repos/<user>/<name>`.
        branch: The branch that is checked out; None after the checkout of a tag.
        sha: The commit that is checked out; None while the remote is empty.
        url: The remote that it was cloned from.
    """

    repo_id: int
    path: PurePosixPath
    branch: str | None
    sha: str | None
    url: str


def find(workspace: Workspace, path: PurePosixPath) -> GitFolder | None:
    """Return the Git folder at a path; None if nothing exists there.

    Raises:
        WorkspaceError: Another object exists there.
    """
    try:
        with translated(f"look at {path}"):
            status = _status(workspace, path)
    except NotFoundError:
        return None
    kind = status["object_type"]
    if kind in {"REPO", "DIRECTORY"}:
        git = status.get("git_info", {})
        is_complete = git.get("branch") and git.get("head_commit_id") and git.get("url")
        if kind == "REPO" and is_complete:  # saves the request to the repos API
            return GitFolder(status["object_id"], path, git["branch"], git["head_commit_id"], git["url"])
        # Outside /Repos, a Git folder may be a DIRECTORY whose git_info has only the id and path; folders
        # inside a Git folder have the same git_info.
        is_root = _repos_path(PurePosixPath(str(git.get("path", "")))) == _repos_path(path)
        try:
            return _get(workspace, git["id"] if is_root and "id" in git else status["object_id"], path)
        except NotFoundError:
            pass
    raise WorkspaceError(
        f"{path} on Databricks is a {kind.lower()}, not a Git folder.",
        hint="Move it away, or set another code.folder in databricks.yml.",
    )


def get(workspace: Workspace, path: PurePosixPath) -> GitFolder:
    """Return the Git folder at a path.

    Raises:
        NotFoundError: Nothing exists there.
    """
    folder = find(workspace, path)
    if folder is None:
        raise NotFoundError(
            f"There is no Git folder {path} on Databricks.",
            hint=f"Run `kedro databricks push{workspace.flags}`: it creates the folder.",
        )
    return folder


def create(workspace: Workspace, path: PurePosixPath, *, url: str, provider: str) -> GitFolder:
    """Clone a remote into a new Git folder.

    Args:
        workspace: The workspace.
        path: The folder to create; missing parents are created too.
        url: The remote, in the form that Databricks clones from.
        provider: Databricks' name for the Git provider.

    Raises:
        WorkspaceError: Databricks refused, and the Git folder does not exist.
    """
    with translated(f"create the folder {path.parent}"):
        workspace.client.workspace.mkdirs(str(path.parent))
    try:
        with _hinted(workspace, url, str(path)), translated(f"clone {url} into the Git folder {path}"):
            repo = workspace.client.repos.create(url=url, provider=provider, path=_repos_path(path))
    except (WorkspaceError, ConnectionFailedError) as error:
        created = _created_nevertheless(workspace, path)
        if created and _INCOMPLETE in error.message:
            _delete_incomplete(workspace, created)
            raise WorkspaceError(
                error.message, hint="The incomplete Git folder was deleted; try again."
            ) from error
        if created:
            return created
        raise
    made = GitFolder(repo.id or 0, path, repo.branch or None, repo.head_commit_id or None, repo.url or url)
    return _read_back(workspace, made, Target(branch=made.branch, sha=made.sha))


def _created_nevertheless(workspace: Workspace, path: PurePosixPath) -> GitFolder | None:
    """Return the Git folder that a failed request created, if it has a commit.

    A slow clone may finish after its request timed out; a repeated request is then refused.
    """
    try:
        found = find(workspace, path)
    except HybridError:
        return None
    return found if found and found.sha else None


def _delete_incomplete(workspace: Workspace, folder: GitFolder) -> None:
    """Delete a Git folder that a failed clone left, as nothing tells later that files are missing in it."""
    with translated(f"delete the incomplete Git folder {folder.path}"):
        workspace.client.repos.delete(folder.repo_id)


@dataclass(frozen=True)
class Target:
    """What to check out in a Git folder.

    Args:
        branch: The branch to fetch and check out; None for a tag.
        tag: The tag to check out, which leaves the folder on no branch.
        sha: The commit that the checkout must result in; None for any.
    """

    branch: str | None = None
    tag: str | None = None
    sha: str | None = None

    def __str__(self) -> str:
        return self.branch or f"tag {self.tag}"

    def is_met_by(self, folder: GitFolder) -> bool:
        """Tell whether a Git folder has this checked out."""
        return folder.branch == self.branch and self.sha in {None, folder.sha}


def check_out(
    workspace: Workspace, folder: GitFolder, target: Target, *, discard_edits: bool = False
) -> GitFolder:
    """Fetch and check out in a Git folder, as its Pull and branch menu do, and verify the result.

    Args:
        workspace: The workspace of the folder.
        folder: The Git folder.
        target: What to check out.
        discard_edits: Discard edits in the Git folder; the caller has saved them and has the user's consent.

    Raises:
        CheckoutRefusedError: Databricks refused; whether because of edits is not documented.
        WorkspaceError: The branch is not at the remote, the fetch failed, or the folder has another commit.
    """
    body: dict[str, str | bool | None] = {"branch": target.branch} if target.branch else {"tag": target.tag}
    if discard_edits:
        body |= {"dangerously_force_discard_all": True}
    names = (folder.url, str(folder.path), target.branch or target.tag or "")
    try:
        with (
            _hinted(workspace, *names),
            translated(f"check out {target} in the Git folder {folder.path}"),
        ):
            workspace.client.api_client.do("PATCH", f"/api/2.0/repos/{folder.repo_id}", body=body)
    except WorkspaceError as error:
        if isinstance(error, NotFoundError) or error.hint or is_busy(error.__cause__):
            raise
        raise CheckoutRefusedError(error.message) from error
    return _read_back(workspace, folder, target)


class CheckoutRefusedError(WorkspaceError):
    """Databricks refused a checkout, perhaps because it would lose edits."""


@contextmanager
def _hinted(workspace: Workspace, *names: str) -> Iterator[None]:
    """Add the next step to an error about the Git credential; `names` in the message are ignored."""
    try:
        yield
    except WorkspaceError as error:
        if error.hint is None and is_credential_refusal(error.message, *names):
            raise WorkspaceError(error.message, hint=credential_hint(workspace)) from error
        raise


def _read_back(workspace: Workspace, folder: GitFolder, target: Target) -> GitFolder:
    """Poll the folder until it has the target checked out, as reads may lag behind writes."""
    deadline = time.monotonic() + _READ_BACK_SECONDS
    backoff = Backoff(0.1, factor=2)
    while True:
        is_late = time.monotonic() > deadline
        try:
            found = _get(workspace, folder.repo_id, folder.path)
        except NotFoundError:
            if is_late:
                raise
        else:
            if target.is_met_by(found):
                return found
            if is_late:
                raise WorkspaceError(
                    f"The Git folder {folder.path} is at {found.sha} on {found.branch or 'no branch'} "
                    f"instead of {target.sha or 'the newest commit'} on {target}.",
                    hint="Another user may have changed it meanwhile: run the command again.",
                )
        backoff.sleep()


def _get(workspace: Workspace, repo_id: int, path: PurePosixPath) -> GitFolder:
    with translated(f"read the Git folder {path}"):
        repo = workspace.client.repos.get(repo_id)
    return GitFolder(repo_id, path, repo.branch or None, repo.head_commit_id or None, repo.url or "")


def _status(workspace: Workspace, path: PurePosixPath) -> dict[str, Any]:
    query = {"path": str(path), "return_git_info": "true"}
    answer: Any = workspace.client.api_client.do("GET", "/api/2.0/workspace/get-status", query=query)
    return dict(answer)


def _repos_path(path: PurePosixPath) -> str:
    """Return the path in the form of the repos API: without the leading /Workspace."""
    return "/" + "/".join(path.parts[2:]) if path.parts[1:2] == ("Workspace",) else str(path)


def find_credential(workspace: Workspace, provider: str) -> int | None:
    """Return the id of the user's credential for a provider, the default one first; None if there is none."""
    with translated("list the Git credentials"):
        every = list(workspace.client.git_credentials.list())
    found = [each for each in every if (each.git_provider or "").lower() == provider.lower()]
    found.sort(key=lambda each: not getattr(each, "is_default_for_provider", False))
    return found[0].credential_id if found else None


def is_credential_refusal(message: str, *names: str) -> bool:
    """Tell whether an error message means that a Git remote denied Databricks access.

    Args:
        message: The error message.
        *names: The remote, folder and branch in the message, whose text is ignored.
    """
    return bool(_ACCESS_DENIED.search(without_names(message, *names)))


def without_names(message: str, *names: str) -> str:
    """Return a message with these names and all URLs replaced by `-`."""
    for name in filter(None, names):
        message = re.sub(rf"(?<![\w/-]){re.escape(name)}(?![\w/-])", "-", message)
    return _URL.sub("-", message)


def credential_hint(workspace: Workspace) -> str:
    """Return the hint to register a working credential."""
    return f"Give Databricks your Git token: kedro databricks init --git-token-env=VARIABLE{workspace.flags}"


def fetch_refusal(workspace: Workspace, folder: GitFolder) -> str | None:
    """Have Databricks fetch from a Git folder's remote; return the error message if access was denied.

    The request is for a branch that no remote has: Databricks must log in at the remote to find that out, and
    then has nothing to check out, so the folder does not change.

    Raises:
        WorkspaceError: The fetch could not be tried.
    """
    try:
        with translated(f"fetch from {folder.url}"):
            body = {"branch": _NO_SUCH_BRANCH}
            workspace.client.api_client.do("PATCH", f"/api/2.0/repos/{folder.repo_id}", body=body)
    except WorkspaceError as error:
        if is_credential_refusal(error.message, folder.url, str(folder.path)):
            return error.message
        if _NO_SUCH_BRANCH not in error.message:
            raise
    return None


def register_credential(workspace: Workspace, provider: str, user: str | None, token: str) -> str:
    """Create or update the credential for a provider, and verify that it exists.

    Args:
        workspace: The workspace.
        provider: Databricks' name for the Git provider.
        user: The user name at the provider; None if it only needs a token.
        token: The provider's token; it is only sent in the request's body.

    Returns:
        `created` or `updated`.
    """
    credential_id = find_credential(workspace, provider)
    with translated(f"register the Git credential for {provider}"):
        if credential_id is None:
            workspace.client.git_credentials.create(provider, git_username=user, personal_access_token=token)
        else:
            workspace.client.git_credentials.update(
                credential_id, provider, git_username=user, personal_access_token=token
            )
    if find_credential(workspace, provider) is None:
        raise WorkspaceError(f"Databricks accepted the Git credential for {provider}, but does not show it.")
    return "created" if credential_id is None else "updated"
