"""Bringing a commit to the Git folder: from which remote, into which folder, and proof that it arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid import git, git_folder
from kedro_databricks_hybrid.errors import GitError, WorkspaceError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.git_folder import GitFolder
    from kedro_databricks_hybrid.settings import Code
    from kedro_databricks_hybrid.workspace import Workspace

_LOCAL_REMOTE_PROVIDER = "gitHub"
"""The repos API wants a provider named, and a folder of this machine has none; the sandbox takes any."""


@dataclass(frozen=True)
class Source:
    """What Databricks shall check out, and where it clones it from.

    Args:
        commit: The commit that is checked out here.
        branch: Its branch.
        url: The remote, in the form that Databricks clones from, without credentials.
        provider: Databricks' name for the Git provider.
    """

    commit: git.Commit
    branch: str
    url: str
    provider: str

    @property
    def shown_url(self) -> str:
        """The remote as it may be printed."""
        return git.without_credentials(self.url)


def source(repository: git.Repository, settings: Code, branch: str | None = None) -> Source:
    """Return what the repository offers to Databricks.

    Args:
        repository: The project's repository.
        settings: The `code` section of databricks.yml.
        branch: A local branch; None takes the one that is checked out.

    Raises:
        GitError: No commit, no branch, no such remote, or a remote whose provider cannot be told.
    """
    commit = repository.head()
    if branch is None:
        branch = repository.branch()
    elif (named := repository.commit(f"refs/heads/{branch}")) is None:
        raise GitError(f"There is no local branch {branch!r}.", hint="`git branch` lists those there are.")
    else:
        commit = named
    url = git.clone_url(repository.remote_url(settings.remote), repository.top)
    found = _LOCAL_REMOTE_PROVIDER if git.is_local(url) else git.provider(url)
    provider = settings.provider or found
    if provider is None:
        raise GitError(
            f"The Git provider of {git.without_credentials(url)} cannot be told from its host.",
            hint="Set code.provider in conf/base/databricks.yml, such as gitLabEnterpriseEdition.",
        )
    return Source(commit, branch, url, provider)


def refuse_unreachable(source: Source, workspace: Workspace) -> None:
    """Refuse a remote on this machine for a workspace that is elsewhere.

    Raises:
        GitError: It is so.
    """
    if git.is_local(source.url) and not workspace.is_local:
        raise GitError(
            f"The Git remote {source.shown_url} is a folder here: {workspace.host} cannot clone it.",
            hint="Push to a Git provider such as GitHub and set the remote to it, or use --profile=sandbox.",
        )


def at_remote(repository: git.Repository, settings: Code, branch: str | None, tag: str | None) -> str | None:
    """Return the commit of a branch or tag at the remote, None where it cannot be asked from here.

    Raises:
        GitError: The remote has no such branch or tag.
    """
    ref = f"refs/heads/{branch}" if branch else f"refs/tags/{tag}"
    found = repository.at_remote(settings.remote, ref)
    if found is not None and ref not in found:
        what = f"branch {branch!r}" if branch else f"tag {tag!r}"
        raise GitError(
            f"The remote {settings.remote!r} has no {what}.",
            hint=f"Push it: `git push {settings.remote} {branch or tag}`.",
        )
    return found[ref] if found else None


def folder_for(workspace: Workspace, path: PurePosixPath, source: Source) -> GitFolder:
    """Return the project's Git folder, cloned now where it is missing.

    Raises:
        WorkspaceError: It is a clone of something else.
    """
    folder = git_folder.find(workspace, path)
    if folder is None:
        return git_folder.create(workspace, path, url=source.url, provider=source.provider)
    refuse_other_repository(folder, source)
    return folder


def refuse_other_repository(folder: GitFolder, source: Source) -> None:
    """Refuse a Git folder that is not this project's.

    Raises:
        WorkspaceError: It is a clone of something else.
    """
    if folder.url and not _same_repository(folder.url, source.url):
        raise WorkspaceError(
            f"The Git folder {folder.path} is a clone of {git.without_credentials(folder.url)}, "
            f"and this project's remote is {source.shown_url}.",
            hint="Set another code.folder in conf/base/databricks.yml, or delete that Git folder.",
        )


def _same_repository(one: str, other: str) -> bool:
    def bare(url: str) -> str:
        return git.without_credentials(url).removeprefix("file://").rstrip("/").removesuffix(".git").lower()

    return bare(one) == bare(other)
