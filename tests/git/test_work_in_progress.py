"""Snapshots of the working tree (`--wip`) and their branches on the remote, with real repositories."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.git.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

BRANCH = "kedro-hybrid/ann-example.com/main"
USER = "ann/example.com"


def run(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Create a bare repository."""
    run(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def repository(tmp_path: Path, remote: Path) -> Repository:
    """Create a repository with one commit, an uncommitted edit and a remote."""
    folder = tmp_path / "clone"
    run(tmp_path, "init", "-q", "-b", "main", str(folder))
    run(folder, "remote", "add", "origin", str(remote))
    (folder / "a.txt").write_text("one\n")
    run(folder, "add", ".")
    run(folder, "commit", "-q", "-m", "First")
    (folder / "a.txt").write_text("two\n")
    return Repository(folder)


def branches(remote: Path) -> list[str]:
    """Return the branches of the remote."""
    return run(remote, "for-each-ref", "--format=%(refname:short)").splitlines()


def pushed(repository: Repository) -> work_in_progress.Snapshot:
    """Take a snapshot and push it."""
    taken = work_in_progress.take(repository, USER, "main")
    assert work_in_progress.push(repository, "origin", taken)
    return taken


def test_pushed_and_removed_once(repository: Repository, remote: Path) -> None:
    """Push and remove a snapshot twice: the second push and the second removal do nothing."""
    taken = pushed(repository)
    assert branches(remote) == [taken.branch] == [BRANCH]
    assert not work_in_progress.push(repository, "origin", taken)
    assert work_in_progress.remove(repository, "origin", USER, "main")
    assert not work_in_progress.remove(repository, "origin", USER, "main")
    assert branches(remote) == []


def test_a_remote_that_refuses_such_a_branch(repository: Repository, remote: Path) -> None:
    """The remote refuses the branch: the error has git's output and says to push without --wip."""
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'name your branch feature/...' >&2\nexit 1\n")
    hook.chmod(0o755)
    taken = work_in_progress.take(repository, USER, "main")
    with pytest.raises(GitError, match=r"name your branch feature/\.\.\.") as caught:
        work_in_progress.push(repository, "origin", taken)
    assert "push without --wip" in (caught.value.hint or "")
    assert branches(remote) == []


def test_a_removal_that_fails_is_made_up_for(repository: Repository, remote: Path) -> None:
    """The remote is missing or refuses the removal: the branch stays for the next push to remove.

    If the branch is already gone from the remote, it is forgotten locally.
    """
    pushed(repository)
    away = remote.rename(remote.with_suffix(".away"))
    assert not work_in_progress.remove(repository, "origin", USER, "main")
    away.rename(remote)
    run(remote, "config", "receive.denyDeletes", "true")
    assert not work_in_progress.remove(repository, "origin", USER, "main")
    assert branches(remote) == [BRANCH]
    run(remote, "update-ref", "-d", f"refs/heads/{BRANCH}")
    assert not work_in_progress.remove(repository, "origin", USER, "main")
    assert run(repository.top, "for-each-ref", "refs/kedro-hybrid") == ""


def test_without_an_index(repository: Repository) -> None:
    """Without an index file the snapshot is the same."""
    before = work_in_progress.take(repository, USER, "main")
    (repository.top / ".git" / "index").unlink()
    assert work_in_progress.take(repository, USER, "main") == before


def test_files_that_git_cannot_add(repository: Repository) -> None:
    """A nested repository without a commit cannot be added: the error names it."""
    run(repository.top, "init", "-q", "nested")
    with pytest.raises(GitError, match=r"git add failed.*nested"):
        work_in_progress.take(repository, USER, "main")


def test_nothing_holds_the_edits_before_the_first_push(repository: Repository) -> None:
    """Only the snapshot contains the edits: not the head, an unknown commit or a missing one."""
    assert not work_in_progress.holds_edits(repository, None)
    assert not work_in_progress.holds_edits(repository, "0" * 40)
    assert not work_in_progress.holds_edits(repository, repository.head().sha)
    assert work_in_progress.holds_edits(
        repository, work_in_progress.take(repository, USER, "main").commit.sha
    )
