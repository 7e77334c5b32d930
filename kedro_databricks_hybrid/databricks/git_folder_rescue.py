"""Save edits made in the Git folder as a local branch, before anything there is discarded."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import git_folder, git_folder_edits
from kedro_databricks_hybrid.databricks.git_folder import CheckoutRefusedError
from kedro_databricks_hybrid.errors import DirtyGitFolderError, GitError, WorkspaceError
from kedro_databricks_hybrid.git.unsafe_names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder, Target
    from kedro_databricks_hybrid.databricks.git_folder_edits import Edits
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.git.repository import Repository

BRANCHES = "kedro-hybrid/rescued"
_SHOWN = 5


@dataclass(frozen=True)
class Saved:
    """Edits of a Git folder, saved as a commit on a new local branch.

    Args:
        branch: The branch; None if all edits are start-up files that were left out.
        edits: The edits.
    """

    branch: str | None
    edits: Edits


@dataclass(frozen=True)
class EditHandling:
    """How to handle edits in the Git folder.

    Args:
        save: Save them before the checkout.
        may_discard: Called once they are saved; returns consent to discard them in the Git folder.
        say: Called with one line that reports what was done.
        again: The command to repeat, for hints.
        may_take: Called with edited start-up files; returns consent to save them too.
    """

    save: bool
    may_discard: Callable[[], bool]
    say: Callable[[str], None]
    again: str
    may_take: Callable[[Sequence[str]], bool] = lambda _: False


def check_out(
    workspace: Workspace, repository: Repository, folder: GitFolder, target: Target, handling: EditHandling
) -> GitFolder:
    """Check out a branch or tag in a Git folder; save edits there first if `handling` says so.

    Args:
        workspace: The workspace of the folder.
        repository: The local repository, where edits are saved.
        folder: The Git folder.
        target: What to check out.
        handling: How to handle edits.

    Raises:
        DirtyGitFolderError: Databricks refused, and there are edits, which the message names; they are kept.
        GitError: The edits cannot be compared or saved.
        WorkspaceError: Databricks refused for another reason.
    """
    saved = None
    if handling.save:
        _fetch_head(repository, folder)
        saved = save(workspace, repository, folder, handling.may_take)
        if saved is None:
            handling.say(f"Nothing was edited in {folder.path}.")
        else:
            what = f"Saved the edits of {folder.path} as the branch {saved.branch}"
            handling.say(f"{what if saved.branch else f'Saved no edits of {folder.path}'}: {saved.edits}")
            if handling.may_discard():
                if saved.edits.left_out:
                    raise _not_all_saved(folder, saved, handling)
                return discard(workspace, repository, folder, target, saved)
    try:
        return git_folder.check_out(workspace, folder, target)
    except CheckoutRefusedError as error:
        edits = saved.edits if saved else _edits(workspace, repository, folder)
        if not isinstance(edits, GitError) and edits.are_by_runs:
            written = ", ".join(map(shown, edits.by_runs[:_SHOWN]))
            handling.say(f"Checked out over what runs wrote in {folder.path}: {written}")
            return discard(workspace, repository, folder, target, Saved(None, edits))
        raise _explained(error, edits, folder, saved, handling) from error


def save(
    workspace: Workspace,
    repository: Repository,
    folder: GitFolder,
    may_take: Callable[[Sequence[str]], bool] = lambda _: False,
) -> Saved | None:
    """Save the edits in a Git folder as a local branch, and verify that their patch applies.

    Args:
        workspace: The workspace of the folder.
        repository: The local repository, where the branch is created.
        folder: The Git folder.
        may_take: Called with edited start-up files; returns consent to save them too.

    Returns:
        The saved edits, on an existing branch if they were saved before; None if nothing was edited.
    """
    edits = git_folder_edits.read(workspace, folder, repository, may_take=may_take)
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
    """Discard edits in a Git folder that are saved locally, and check out.

    Raises:
        DirtyGitFolderError: The folder was edited again after they were saved.
    """
    now = git_folder_edits.read(workspace, folder, repository)
    if (now.base, now.tree) != (saved.edits.base, saved.edits.tree):
        raise DirtyGitFolderError(
            f"{folder.path} was edited again while its edits were being saved: {now}.",
            hint="Run the command again; nothing was discarded.",
        )
    return git_folder.check_out(workspace, folder, target, discard_edits=True)


def _fetch_head(repository: Repository, folder: GitFolder) -> None:
    """Fetch the folder's head commit if it is missing locally; no branch moves."""
    if folder.sha and folder.url and repository.commit(folder.sha) is None:
        for remote in repository.ask("remote").split():
            quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--no-recurse-submodules")
            repository.run("fetch", *quiet, "--", remote, folder.sha)


def _prove_patch(repository: Repository, edits: Edits, commit: str) -> None:
    # Options that override the user's configuration of diffs and patches.
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
        # Paths in a patch are relative to the top of the repository.
        repository.ask("-C", str(repository.top), "apply", *apply, given=patch.stdout, variables=index)
        if repository.ask("write-tree", variables=index).strip() != edits.tree:
            raise GitError("The edits were read, but their patch does not produce the same files.")


def _explained(
    error: CheckoutRefusedError,
    edits: Edits | GitError,
    folder: GitFolder,
    saved: Saved | None,
    handling: EditHandling,
) -> WorkspaceError:
    """Return an error that names the edits that may prevent the checkout, and the next step."""
    if isinstance(edits, GitError):
        return WorkspaceError(f"{error.message} {edits.message}", hint=edits.hint)
    if not edits.paths and not edits.left_out:
        return error
    if saved and saved.edits.left_out:
        return _not_all_saved(folder, saved, handling)
    what = f"{_sentence(error.message)} {folder.path} has edits that a checkout may lose: {edits}."
    if saved:
        return DirtyGitFolderError(
            f"{what} They are saved as the local branch {saved.branch}.",
            hint=f"`{handling.again} --force` discards them there; nothing was discarded yet.",
        )
    return DirtyGitFolderError(
        what, hint=f"`{handling.again} --save` saves them as a local branch; nothing was discarded."
    )


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _not_all_saved(folder: GitFolder, saved: Saved, handling: EditHandling) -> DirtyGitFolderError:
    return DirtyGitFolderError(
        f"{folder.path} has edits that would be lost: {saved.edits}. "
        "Programs run some of these files when they start.",
        hint=f"`{handling.again} --save --startup-files` saves them too; nothing was discarded.",
    )


def _edits(workspace: Workspace, repository: Repository, folder: GitFolder) -> Edits | GitError:
    try:
        _fetch_head(repository, folder)
        return git_folder_edits.read(workspace, folder, repository)
    except GitError as unknown:
        return unknown
