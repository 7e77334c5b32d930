"""Snapshots: commits of the working tree that leave branch, index and files unchanged (`push --wip`)."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.repository import Commit, error_summary

if TYPE_CHECKING:
    from kedro_databricks_hybrid.git.repository import Repository

_TRIES = 10
_SUBJECT = "Work in progress"
_RECORDS = "refs/kedro-hybrid/snapshots"
"""Refs that record which snapshot branches this clone has pushed."""


@dataclass(frozen=True)
class Snapshot:
    """A commit of the working tree, and its branch at the remote."""

    commit: Commit
    branch: str


def branch_name(user: str, branch: str) -> str:
    """Return the remote branch for one user's snapshots of a branch."""
    return f"kedro-hybrid/{re.sub(r'[^A-Za-z0-9._@+-]+', '-', user)}/{branch}"


def take(repository: Repository, user: str, branch: str) -> Snapshot:
    """Commit the working tree, including new files that git does not ignore.

    The same files on the same commit produce the same snapshot.

    Args:
        repository: The project's repository.
        user: The Databricks user, part of the branch's name.
        branch: The branch that is checked out.

    Raises:
        GitError: git cannot commit, for example without a user name.
    """
    head = repository.head()
    with tempfile.TemporaryDirectory() as folder:
        tree = _tree(repository, Path(folder))
    if tree == repository.ask("rev-parse", f"{head.sha}^{{tree}}").strip():
        return Snapshot(head, branch_name(user, branch))
    subject = f"{_SUBJECT} on {branch} after {head.short}"
    when = repository.ask("log", "-1", "--format=%cI", head.sha).strip()
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    sha = repository.ask("commit-tree", tree, "-p", head.sha, "-m", subject, variables=dates).strip()
    return Snapshot(Commit(sha, subject), branch_name(user, branch))


def holds(repository: Repository, sha: str | None, head: Commit) -> bool:
    """Tell whether a commit is `head` or a snapshot on top of it."""
    if sha is None or sha == head.sha:
        return sha is not None
    found = repository.run("log", "-1", "--format=%P %s", sha)
    parent, _, subject = found.stdout.decode("utf-8", "surrogateescape").partition(" ")
    return parent == head.sha and subject.startswith(_SUBJECT)


def holds_edits(repository: Repository, sha: str | None) -> bool:
    """Tell whether a commit has the current content of the working tree, including uncommitted edits."""
    if sha is None:
        return False
    if sha == repository.head().sha:
        return not repository.edited_paths()
    with tempfile.TemporaryDirectory() as folder:
        return (
            repository.commit(sha) is not None
            and _tree(repository, Path(folder)) == repository.ask("rev-parse", f"{sha}^{{tree}}").strip()
        )


def push(repository: Repository, remote: str, snapshot: Snapshot) -> bool:
    """Push a snapshot to its branch at the remote, replacing the previous one.

    Returns:
        Whether the remote lacked it.

    Raises:
        GitError: The remote refused; the message contains git's output.
    """
    repository.ask("update-ref", f"{_RECORDS}/{snapshot.branch}", snapshot.commit.sha)
    refs = f"+{snapshot.commit.sha}:refs/heads/{snapshot.branch}"
    result = repository.run("push", "--porcelain", "--", remote, refs)
    if result.returncode != 0:
        raise GitError(
            f"git push of {snapshot.branch!r} to {remote!r} failed: "
            f"{error_summary(result.stderr + result.stdout)}",
            hint="Commit your edits and push without --wip if the remote does not allow such a branch.",
        )
    return not any(line.startswith(b"=") for line in result.stdout.splitlines())


def remove(repository: Repository, remote: str, user: str, branch: str) -> bool:
    """Delete the snapshot branch that this clone has pushed for a branch.

    Returns:
        Whether it was deleted; if the remote refuses, the next push tries again.
    """
    name = branch_name(user, branch)
    record = f"{_RECORDS}/{name}"
    noted = repository.run("rev-parse", "--quiet", "--verify", record)
    if noted.returncode != 0:
        return False
    there = repository.at_remote(remote, f"refs/heads/{name}")
    if there is None:
        return False
    if there:
        deleted = repository.run("push", "--no-verify", "--", remote, f":refs/heads/{name}")
        if deleted.returncode != 0:
            return False
    repository.ask("update-ref", "-d", record)
    return bool(there)


def _tree(repository: Repository, folder: Path) -> str:
    """Write the working tree as a git tree, using a temporary index in `folder`, and return its id."""
    index = folder / "index"
    own = Path(repository.ask("rev-parse", "--path-format=absolute", "--git-path", "index").strip())
    if own.exists():
        shutil.copy2(own, index)  # so that git need not read unchanged files again
    variables = {"GIT_INDEX_FILE": str(index)}
    add = ("-C", str(repository.top), "add", "--all")
    tries = 1
    while (added := repository.run(*add, variables=variables)).returncode != 0:  # a file vanished
        if tries == _TRIES:
            raise GitError(f"git add failed: {error_summary(added.stderr)}")
        tries += 1
    return repository.ask("write-tree", variables=variables).strip()
