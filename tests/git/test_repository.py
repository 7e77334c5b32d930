"""Reading and pushing Git repositories, with real git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kedro_databricks_hybrid.errors import GitError
from kedro_databricks_hybrid.git.repository import (
    Commit,
    Repository,
    error_summary,
)
from tests.git_programs import SETTINGS, Programs, repository


def run(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Create a repository with one commit and a bare remote called origin."""
    folder = tmp_path / "clone"
    run(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    run(tmp_path, "init", "-q", "-b", "main", str(folder))
    run(folder, "remote", "add", "origin", "../remote.git")
    (folder / "a.txt").write_text("one\n")
    run(folder, "add", ".")
    run(folder, "commit", "-q", "-m", "First\n\nWith a body")
    return folder


def test_head_is_the_commit_with_its_subject(clone: Path) -> None:
    """The head commit has its hash and the first line of its message."""
    head = Repository(clone).head()
    assert head == Commit(run(clone, "rev-parse", "HEAD"), "First")
    assert str(head) == f"{head.sha[:7]} (First)"


def test_a_commit_that_is_not_here_is_none(clone: Path) -> None:
    """Looking up a commit that is not in the repository returns None."""
    assert Repository(clone).commit("0" * 40) is None


def test_a_project_in_a_subfolder(clone: Path) -> None:
    """A project in a subfolder knows its prefix, and reads its files from commits."""
    project = clone / "services" / "iris"
    project.mkdir(parents=True)
    (project / "requirements.txt").write_text("kedro\n")
    run(clone, "add", ".")
    run(clone, "commit", "-q", "-m", "Second")
    repository = Repository(project)
    assert repository.prefix == "services/iris"
    assert repository.file_at(repository.head().sha, "requirements.txt") == b"kedro\n"
    assert repository.file_at(repository.head().sha, "missing.txt") is None


def test_edited_paths_name_every_kind_of_edit(clone: Path) -> None:
    """Edited paths include renamed, new and unusually named files, and no ignored ones."""
    (clone / ".gitignore").write_text("*.log\n")
    run(clone, "add", ".")
    run(clone, "commit", "-q", "-m", "Ignore")
    assert Repository(clone).edited_paths() == []
    run(clone, "mv", "a.txt", "b c.txt")
    (clone / "ä ✓.txt").write_text("")
    (clone / "x.log").write_text("")
    assert sorted(Repository(clone).edited_paths()) == ["b c.txt", "ä ✓.txt"]


def test_push_makes_the_branch_and_its_upstream(clone: Path, tmp_path: Path) -> None:
    """Push a new branch, here with a slash: the remote has it, and it is the upstream."""
    run(clone, "switch", "-q", "-c", "feat/x")
    repository = Repository(clone)
    repository.push("origin", repository.branch())
    assert run(tmp_path / "remote.git", "rev-parse", "feat/x") == repository.head().sha
    assert run(clone, "rev-parse", "--abbrev-ref", "@{upstream}") == "origin/feat/x"


def test_a_rejected_push_says_how_to_go_on(clone: Path, tmp_path: Path) -> None:
    """The remote has newer commits: the error has git's reason and says to rebase."""
    Repository(clone).push("origin", "main")
    run(tmp_path, "clone", "-q", "remote.git", "other")
    run(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "Theirs")
    run(tmp_path / "other", "push", "-q")
    run(clone, "commit", "-q", "--allow-empty", "-m", "Mine")
    with pytest.raises(GitError, match=r"rejected.*git pull --rebase origin main"):
        Repository(clone).push("origin", "main")


def test_a_hook_that_fails_is_quoted(clone: Path) -> None:
    """A pre-push hook fails: the error contains its output."""
    hook = clone / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'tests are red' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitError, match="tests are red"):
        Repository(clone).push("origin", "main")


def test_no_credentials_in_gits_words(clone: Path) -> None:
    """The remote's URL contains a token: git's error is shown without it."""
    run(clone, "remote", "set-url", "origin", "https://me:hunter2@127.0.0.1:9/x.git")
    with pytest.raises(GitError) as caught:
        Repository(clone).push("origin", "main")
    assert "127.0.0.1:9" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_folder_is_no_file(clone: Path) -> None:
    """Reading several paths of a commit returns only files, also those after a folder or a missing path."""
    (clone / "sub").mkdir()
    (clone / "sub" / "b.txt").write_text("two\n")
    run(clone, "add", ".")
    run(clone, "commit", "-q", "-m", "Second")
    repository = Repository(clone)
    found = repository.files_at(repository.head().sha, ["sub", "missing", "a.txt", "sub/b.txt"])
    assert found == {"a.txt": b"one\n", "sub/b.txt": b"two\n"}


def test_a_repository_that_git_cannot_read(clone: Path) -> None:
    """The repository's configuration is broken: the error contains git's message."""
    (clone / ".git" / "config").write_text("[broken\n")
    with pytest.raises(GitError, match="bad config line 1"):
        Repository(clone)


def test_a_remote_that_does_not_answer_in_time(clone: Path) -> None:
    """A git command exceeds its time limit: it fails, and the error says so."""
    run(clone, "config", "alias.late", "!exec sleep 1")
    result = Repository(clone).run("late", seconds=0.2)
    assert result.returncode != 0
    assert error_summary(result.stderr) == "no answer within 0 s"


def test_without_git(clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without git installed, the error says that it is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed"):
        Repository(clone)


def test_a_submodule_names_no_programs(tmp_path: Path) -> None:
    """Listing edits runs no program that a submodule's configuration names."""
    top = repository(tmp_path / "top")
    programs = Programs(tmp_path / "programs")
    shutil.copytree(top / ".git", top / "inner" / ".git")
    for name in (".gitattributes", "x.evil"):
        shutil.copy(top / name, top / "inner" / name)
    programs.plant(top / "inner", SETTINGS)
    (top / "inner/.git/HEAD").write_text(run(top, "rev-parse", "main:inner") + "\n")
    assert Repository(top).edited_paths() == ["x.evil"]
    assert programs.ran() == set()
