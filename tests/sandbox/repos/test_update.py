"""Git folders follow their remote: branches, tags, and edits that would be lost; with a real remote."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotFound,
    ResourceConflict,
)

if TYPE_CHECKING:
    from pathlib import Path

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote, Running


def test_update_to_the_same_branch_pulls(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """New, changed and deleted files are updated, and so is the head commit."""
    commit = remote.commit({"README.md": "two\n", "new.txt": "new\n", "src/package/__init__.py": None})
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit
    assert (folder / "README.md").read_text() == "two\n"
    assert (folder / "new.txt").exists()
    assert not (folder / "src").exists()


def test_update_to_another_branch_and_back(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """A branch that was pushed later is found."""
    main = remote.git("rev-parse", "HEAD")
    other = remote.commit({"README.md": "other\n"}, "feat/modified-classifier")
    workspace.repos.update(repo_id, branch="feat/modified-classifier")
    shown = workspace.repos.get(repo_id)
    assert (shown.branch, shown.head_commit_id) == ("feat/modified-classifier", other)
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == main
    assert (folder / "README.md").read_text() == "one\n"


def test_update_follows_a_force_pushed_branch(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """The folder has the remote's branch, not a merge."""
    workspace.repos.update(repo_id, branch="main")
    remote.git("commit", "-q", "--amend", "-m", "rewritten")
    commit = remote.commit({"README.md": "rewritten\n"})
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit
    assert (folder / "README.md").read_text() == "rewritten\n"


def test_update_to_a_tag_detaches(workspace: WorkspaceClient, remote: Remote, repo_id: int) -> None:
    """At a tag there is no branch; an annotated tag gives its commit."""
    commit = remote.git("rev-parse", "HEAD")
    remote.git("tag", "-a", "v1", "-m", "one")
    remote.git("push", "-q", "origin", "v1")
    remote.commit({"README.md": "later\n"})
    workspace.repos.update(repo_id, tag="v1")
    shown = workspace.repos.get(repo_id)
    assert (shown.branch, shown.head_commit_id) == (None, commit)


@pytest.mark.parametrize("ref", [{"branch": "nowhere"}, {"tag": "v9"}])
def test_an_unknown_branch_or_tag(
    workspace: WorkspaceClient, repo_id: int, remote: Remote, ref: dict[str, Any]
) -> None:
    """The error names it, and the folder is unchanged."""
    with pytest.raises(NotFound, match=next(iter(ref.values()))):
        workspace.repos.update(repo_id, **ref)
    assert workspace.repos.get(repo_id).head_commit_id == remote.git("rev-parse", "HEAD")


def test_a_branch_that_the_remote_deleted(workspace: WorkspaceClient, repo_id: int, remote: Remote) -> None:
    """A branch that was deleted from the remote is refused, even if it was fetched earlier."""
    remote.commit({"README.md": "x\n"}, "gone")
    workspace.repos.update(repo_id, branch="gone")
    remote.git("push", "-q", "origin", "--delete", "gone")
    with pytest.raises(NotFound, match="gone"):
        workspace.repos.update(repo_id, branch="gone")


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "x^{tree}", "a:b", "/a", "a.lock", "a\x00b"])
def test_names_that_no_branch_can_have(workspace: WorkspaceClient, repo_id: int, name: str) -> None:
    """Invalid branch names are refused before git is called."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.update(repo_id, branch=name)


@pytest.mark.parametrize("arguments", [{}, {"branch": "main", "tag": "v1"}])
def test_update_wants_a_branch_or_a_tag(
    workspace: WorkspaceClient, repo_id: int, arguments: dict[str, Any]
) -> None:
    """An update needs a branch or a tag, and not both."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.update(repo_id, **arguments)


def test_edits_that_would_be_lost_refuse_the_update(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """The error names edited files, and untracked ones that the commit would overwrite."""
    before = remote.git("rev-parse", "HEAD")
    remote.commit({"README.md": "two\n"})
    (folder / "README.md").write_text("edited in the workspace\n")
    with pytest.raises(ResourceConflict, match=r"uncommitted changes .*README\.md") as refusal:
        workspace.repos.update(repo_id, branch="main")
    assert refusal.value.error_code == "GIT_CONFLICT"
    assert workspace.repos.get(repo_id).head_commit_id == before
    assert (folder / "README.md").read_text() == "edited in the workspace\n"


@pytest.mark.parametrize("name", ["été.txt", "ignored.log"])
def test_untracked_files_that_would_be_lost_refuse_the_update(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path, name: str
) -> None:
    """Ignored files count too."""
    (remote.clone / name).write_text("theirs")
    remote.git("add", "--force", name)
    remote.commit({})
    (folder / name).write_text("mine")
    with pytest.raises(ResourceConflict, match=name):
        workspace.repos.update(repo_id, branch="main")
    assert (folder / name).read_text() == "mine"


def test_edits_elsewhere_survive_the_update(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """Edits of files that the checkout does not change are kept."""
    commit = remote.commit({"new.txt": "new\n"})
    (folder / "README.md").write_text("edited\n")
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit
    assert (folder / "README.md").read_text() == "edited\n"


def test_discard_all_throws_edits_away(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """Edited, deleted and untracked files are reset; ignored ones are kept."""
    remote.commit({"README.md": "two\n"})
    (folder / "README.md").write_text("edited\n")
    (folder / "untracked.txt").write_text("mine")
    (folder / "kept.log").write_text("ignored")
    workspace.repos.update(repo_id, branch="main", dangerously_force_discard_all=True)
    assert (folder / "README.md").read_text() == "two\n"
    assert not (folder / "untracked.txt").exists()
    assert (folder / "kept.log").exists()


def test_discard_all_spares_edits_when_the_branch_is_unknown(
    workspace: WorkspaceClient, repo_id: int, folder: Path
) -> None:
    """A refused update discards nothing."""
    (folder / "README.md").write_text("edited\n")
    with pytest.raises(NotFound):
        workspace.repos.update(repo_id, branch="nowhere", dangerously_force_discard_all=True)
    assert (folder / "README.md").read_text() == "edited\n"


def test_updates_at_the_same_time(running: Running, remote: Remote, repo_id: int, folder: Path) -> None:
    """Concurrent updates run one by one; afterwards one of the branches is completely checked out."""
    remote.commit({"README.md": "other\n"}, "other")
    clients = [(running.workspace(), branch) for branch in ("main", "other") * 4]
    threads = [
        threading.Thread(target=client.repos.update, args=[repo_id], kwargs={"branch": branch})
        for client, branch in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    branch = clients[0][0].repos.get(repo_id).branch
    assert (folder / "README.md").read_text() == {"main": "one\n", "other": "other\n"}[str(branch)]


def test_very_many_edits_are_counted(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """The error names the first twenty files and the number of the others."""
    names = [f"{number:02}.txt" for number in range(23)]
    remote.commit(dict.fromkeys(names, "theirs"))
    for name in names:
        (folder / name).write_text("mine")
    with pytest.raises(ResourceConflict, match=r"00\.txt, .*19\.txt and 3 more"):
        workspace.repos.update(repo_id, branch="main")
    assert {(folder / name).read_text() for name in names} == {"mine"}
