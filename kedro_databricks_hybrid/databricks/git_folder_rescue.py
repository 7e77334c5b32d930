"""Bringing home what somebody edited in the Git folder, before anything there is given up."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import git_folder, git_folder_edits
from kedro_databricks_hybrid.errors import DirtyGitFolderError, GitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder, Target
    from kedro_databricks_hybrid.databricks.git_folder_edits import Edits
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository

BRANCHES = "kedro-hybrid/rescued"


@dataclass(frozen=True)
class Saved:
    """Edits of a Git folder as a commit on a branch of their own here.

    Args:
        branch: The branch, None where all edits are start-up files that were left out.
        edits: The edits.
    """

    branch: str | None
    edits: Edits


@dataclass(frozen=True)
class Way:
    """How to deal with edits in the Git folder.

    Args:
        save: Save them first.
        may_discard: Asked once they are saved, whether they may be given up there.
        say: Called with one line for what was done.
        again: The command to repeat, for hints.
        may_take: Asked whether to save start-up files, too.
    """

    save: bool
    may_discard: Callable[[], bool]
    say: Callable[[str], None]
    again: str
    may_take: Callable[[Sequence[str]], bool] = lambda _: False


def check_out(
    workspace: Workspace, repository: Repository, folder: GitFolder, target: Target, way: Way
) -> GitFolder:
    """Check out a branch or tag in a Git folder; edits there are saved if that is asked for.

    Args:
        workspace: Where the folder lies.
        repository: The project's repository, which saved edits go to.
        folder: The folder, as it was found.
        target: What it shall hold.
        way: How to deal with edits.

    Raises:
        DirtyGitFolderError: Edits stand in the way; they are named and still there.
        GitError: The edits cannot be compared or saved.
    """
    saved = None
    if way.save:
        _fetch_head(repository, folder)
        saved = save(workspace, repository, folder, way.may_take)
        if saved is None:
            way.say(f"Nothing was edited in {folder.path}.")
        else:
            branch = f"as the branch {saved.branch}" if saved.branch else "nowhere"
            way.say(f"Saved the edits of {folder.path} {branch}: {saved.edits}")
            if way.may_discard():
                if saved.edits.left_out:
                    raise _not_all_saved(folder, saved, way)
                return discard(workspace, repository, folder, target, saved)
    try:
        return git_folder.check_out(workspace, folder, target)
    except DirtyGitFolderError as error:
        edits = saved.edits if saved else _edits(workspace, repository, folder)
        raise _explained(error, edits, folder, saved, way) from error


def save(
    workspace: Workspace,
    repository: Repository,
    folder: GitFolder,
    may_take: Callable[[Sequence[str]], bool] = lambda _: False,
) -> Saved | None:
    """Make a branch here that holds what was edited in a Git folder, and prove that its patch applies.

    Args:
        workspace: Where the folder lies.
        repository: Where the branch is made.
        folder: The folder.
        may_take: Asked whether to save start-up files, too.

    Returns:
        The branch, which may be there from before; None where nothing was edited.
    """
    edits = git_folder_edits.read(workspace, folder, repository, keep=True, may_take=may_take)
    if not edits.paths:
        return Saved(None, edits) if edits.left_out else None
    known = repository.ask(
        "for-each-ref", "--format=%(tree) %(parent) %(refname:lstrip=2)", f"refs/heads/{BRANCHES}/"
    )
    for line in known.splitlines():
        tree, parent, branch = line.split(" ", 2)
        if (tree, parent) == (edits.tree, edits.base):
            return Saved(branch, edits)
    message = f"Edits made in {folder.path}"
    commit = repository.ask("commit-tree", edits.tree, "-p", edits.base, "-m", message).strip()
    _prove_patch(repository, edits, commit)
    branch = f"{BRANCHES}/{time.strftime('%Y%m%d-%H%M%S')}-{commit[:7]}"
    repository.ask("branch", "--no-track", branch, commit)
    return Saved(branch, edits)


def discard(
    workspace: Workspace, repository: Repository, folder: GitFolder, target: Target, saved: Saved
) -> GitFolder:
    """Give up the edits in a Git folder that are saved here, and check out there.

    Raises:
        DirtyGitFolderError: The folder has been edited again since they were saved.
    """
    now = git_folder_edits.read(workspace, folder, repository)
    if (now.base, now.tree) != (saved.edits.base, saved.edits.tree):
        raise DirtyGitFolderError(
            f"{folder.path} was edited again while its edits were being saved: {now}.",
            hint="Run the command again; nothing was discarded.",
        )
    return git_folder.check_out(workspace, folder, target, discard_edits=True)


def _fetch_head(repository: Repository, folder: GitFolder) -> None:
    """Fetch the folder's head commit where it is not here: its objects alone, no branch moves."""
    if folder.sha and folder.url and repository.commit(folder.sha) is None:
        for remote in repository.ask("remote").split():
            quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--no-recurse-submodules")
            repository.run("fetch", *quiet, "--", remote, folder.sha)


def _prove_patch(repository: Repository, edits: Edits, commit: str) -> None:
    # Whatever the user's configuration makes of a diff and a patch by default.
    plain = (
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--no-relative",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    )
    patch = repository.run("diff", "--binary", "--full-index", *plain, edits.base, commit)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        repository.ask("read-tree", edits.base, variables=index)
        apply = ("--cached", "--whitespace=nowarn")
        # Paths in a patch start at the top, wherever the project lies.
        repository.ask("-C", str(repository.top), "apply", *apply, given=patch.stdout, variables=index)
        if repository.ask("write-tree", variables=index).strip() != edits.tree:
            raise GitError("The edits were read, but their patch does not give the same files.")


def _explained(
    error: DirtyGitFolderError, edits: Edits | GitError, folder: GitFolder, saved: Saved | None, way: Way
) -> DirtyGitFolderError:
    """Name the edits that stand in the way, and the next step."""
    if isinstance(edits, GitError):
        return DirtyGitFolderError(f"{error.message} {edits.message}", hint=edits.hint)
    if not edits.paths and not edits.left_out:
        return error
    if saved and saved.edits.left_out:
        return _not_all_saved(folder, saved, way)
    what = f"{folder.path} has edits that a checkout would lose: {edits}."
    if saved:
        return DirtyGitFolderError(
            f"{what} They are saved here as the branch {saved.branch}.",
            hint=f"`{way.again} --force` gives them up there; nothing was discarded.",
        )
    return DirtyGitFolderError(
        what, hint=f"`{way.again} --save` brings them here as a branch; nothing was discarded."
    )


def _not_all_saved(folder: GitFolder, saved: Saved, way: Way) -> DirtyGitFolderError:
    return DirtyGitFolderError(
        f"{folder.path} has edits that would be lost: {saved.edits}. "
        "Programs run some of these files when they start.",
        hint=f"`{way.again} --save --startup-files` saves them, too; nothing was discarded.",
    )


def _edits(workspace: Workspace, repository: Repository, folder: GitFolder) -> Edits | GitError:
    try:
        _fetch_head(repository, folder)
        return git_folder_edits.read(workspace, folder, repository)
    except GitError as unknown:
        return unknown
