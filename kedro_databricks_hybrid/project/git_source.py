"""The Git remote and commit that Databricks checks out, and the checks before it does.

Also finds what a Git folder does not support: submodules and files in Git LFS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import git_folder
from kedro_databricks_hybrid.errors import GitError, WorkspaceError
from kedro_databricks_hybrid.git.remotes import (
    clone_url,
    is_local,
    is_same,
    provider_of,
    ssh_host,
    without_credentials,
)

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Commit, Repository
    from kedro_databricks_hybrid.project.settings import Code

_LOCAL_REMOTE_PROVIDER = "gitHub"
"""The provider for a remote on this machine: the repos API requires one, and the sandbox accepts any."""
_POINTER = "version https://git-lfs.github.com/spec/v1"
_LARGEST_POINTER = 1024


@dataclass(frozen=True)
class Source:
    """The commit that Databricks checks out, and the remote that it clones.

    Args:
        commit: The commit of the local branch.
        branch: Its branch.
        url: The remote's URL, in the form that Databricks clones, without credentials.
        provider: Databricks' name for the Git provider.
        pushed_to: The URLs that `git push` uses, which may be others.
    """

    commit: Commit
    branch: str
    url: str
    provider: str
    pushed_to: tuple[str, ...] = ()

    @property
    def shown_pushed_to(self) -> str:
        """The URLs that `git push` uses, without credentials, to print them."""
        return " and ".join(map(without_credentials, self.pushed_to))

    @property
    def shown_url(self) -> str:
        """The remote's URL without credentials, to print it."""
        return without_credentials(self.url)


def source(repository: Repository, settings: Code, branch: str | None = None) -> Source:
    """Return the commit and remote for Databricks.

    Args:
        repository: The project's repository.
        settings: The `code` section of databricks.yml.
        branch: A local branch; None for the one that is checked out.

    Raises:
        GitError: No commit, no branch, no such remote, or a remote whose provider is unknown.
    """
    commit = repository.head()
    if branch is None:
        branch = repository.branch()
    elif (named := repository.commit(f"refs/heads/{branch}")) is None:
        raise GitError(f"There is no local branch {branch!r}.", hint="`git branch` lists the local branches.")
    else:
        commit = named
    urls = tuple(repository.push_urls(settings.remote))
    url = settings.url or _clone_url(repository, settings, urls)
    found = _LOCAL_REMOTE_PROVIDER if is_local(url) else provider_of(url)
    provider = settings.provider or found
    if provider is None:
        raise GitError(
            f"The Git provider of {without_credentials(url)} is not known by its host.",
            hint="Set code.provider in databricks.yml, such as gitLabEnterpriseEdition. "
            "If the address is wrong, set code.url.",
        )
    return Source(commit, branch, url, provider, urls)


def _clone_url(repository: Repository, settings: Code, urls: tuple[str, ...]) -> str:
    """Return the first URL in the form that Databricks clones; git pushes to all of them."""

    def resolve(host: str) -> str:
        return ssh_host(host, repository.ssh_command())

    return clone_url(urls[0], repository.top, settings.provider, resolve)


def refuse_unreachable(source: Source, workspace: Workspace) -> None:
    """Refuse a remote on this machine unless the workspace is on it too.

    Raises:
        GitError: The workspace cannot reach the remote.
    """
    if is_local(source.url) and not workspace.is_local:
        raise GitError(
            f"The Git remote {source.shown_url} is a local folder, which {workspace.host} cannot clone.",
            hint="Push to a Git provider such as GitHub and set the remote to it, or use --profile=sandbox.",
        )


def at_remote(repository: Repository, settings: Code, branch: str | None, tag: str | None) -> str | None:
    """Return the commit of a branch or tag at the remote; None if the remote does not answer.

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
    """Return the project's Git folder; clone it if it does not exist.

    Raises:
        WorkspaceError: The folder is a clone of another repository.
    """
    folder = git_folder.find(workspace, path)
    if folder is None:
        folder = git_folder.create(workspace, path, url=source.url, provider=source.provider)
    refuse_other_repository(folder, source)
    return folder


def refuse_other_repository(folder: GitFolder, source: Source) -> None:
    """Refuse a Git folder of another repository.

    Raises:
        WorkspaceError: The folder is a clone of another repository.
    """
    if folder.url and not is_same(folder.url, source.url):
        raise WorkspaceError(
            f"The Git folder {folder.path} is a clone of {without_credentials(folder.url)}, "
            f"and this project's remote is {source.shown_url}.",
            hint="Set another code.folder in databricks.yml, or delete that Git folder.",
        )


@dataclass(frozen=True)
class Unsupported:
    """Paths in a commit that a Git folder does not support."""

    submodules: tuple[str, ...]
    lfs_files: tuple[str, ...]


def find_unsupported(repository: Repository, sha: str) -> Unsupported:
    """Find submodules and Git LFS files in a commit."""
    submodules, small = [], set()
    for entry in repository.ask("ls-tree", "-r", "-l", "-z", "--full-tree", sha).split("\0"):
        attributes, _, path = entry.partition("\t")
        mode, _, _, size = attributes.split() if attributes else ("", "", "", "-")
        if mode == "160000":
            submodules.append(path)
        elif size.isdigit() and int(size) <= _LARGEST_POINTER:
            small.add(path)
    found = repository.run(
        "-C", str(repository.top), "grep", "--no-color", "-l", "-z", "-F", "-e", _POINTER, sha
    )
    named = found.stdout.decode("utf-8", "surrogateescape").split("\0")
    pointers = [name.removeprefix(f"{sha}:") for name in named if name]
    return Unsupported(tuple(submodules), tuple(path for path in pointers if path in small))


def refuse_submodules(found: Unsupported) -> None:
    """Refuse a commit with submodules.

    Raises:
        GitError: It has submodules; the message names them.
    """
    if found.submodules:
        raise GitError(
            f"Git folders do not support submodules, and this commit has some: "
            f"{', '.join(found.submodules[:5])}.",
            hint="Put their files into the repository itself, or install them from requirements.txt.",
        )
