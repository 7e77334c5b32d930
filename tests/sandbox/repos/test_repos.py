"""Git folders, through the SDK, with real clones of a real remote."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.service.workspace import ObjectType, SparseCheckout, SparseCheckoutUpdate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote, Running

PATH = "/Repos/user@example.com/project"


def test_create_clones_the_default_branch(workspace: WorkspaceClient, remote: Remote, folder: Path) -> None:
    """The answer has the branch and the commit; the files exist, without a .git."""
    made = workspace.repos.create(url=str(remote.bare), provider="GITHUB", path=f"/Workspace{PATH}")
    assert (made.path, made.branch, made.provider) == (PATH, "main", "gitHub")
    assert made.head_commit_id == remote.git("rev-parse", "HEAD")
    assert (folder / "README.md").read_text() == "one\n"
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "README.md", "src"]


def test_create_without_a_path_uses_the_repos_name(workspace: WorkspaceClient, remote: Remote) -> None:
    """The default parent is the user's folder under /Repos."""
    made = workspace.repos.create(url=remote.bare.as_uri(), provider="gitHub")
    assert made.path == "/Repos/user@example.com/remote"


def test_a_git_folder_may_lie_outside_of_repos(workspace: WorkspaceClient, remote: Remote) -> None:
    """Almost any path in the workspace can be chosen."""
    path = "/Users/user@example.com/deep/project"
    workspace.workspace.mkdirs("/Users/user@example.com/deep")
    workspace.repos.create(url=str(remote.bare), provider="gitHub", path=path)
    assert workspace.workspace.get_status(path).object_type == ObjectType.REPO


def test_status_gives_the_repos_number(workspace: WorkspaceClient, repo_id: int) -> None:
    """A Git folder is found by its path: type REPO, object id equal to the repo id."""
    status = workspace.workspace.get_status(PATH)
    assert (status.object_type, status.object_id) == (ObjectType.REPO, repo_id)


def test_status_with_git_info(running: Running, remote: Remote, repo_id: int) -> None:
    """return_git_info adds branch and commit, for objects inside of the Git folder too."""
    for path in (PATH, f"{PATH}/src"):
        answer = running.http().get(
            "/api/2.0/workspace/get-status", params={"path": path, "return_git_info": "true"}
        )
        info = answer.json()["git_info"]
        assert (info["id"], info["branch"]) == (repo_id, "main")
        assert info["head_commit_id"] == remote.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "path", ["/Repos/project", "/Repos/user@example.com/a/b", "/", "relative", "/Repos/user@example.com/.."]
)
def test_create_refuses_a_wrong_place(workspace: WorkspaceClient, remote: Remote, path: str) -> None:
    """Below /Repos only the path /Repos/{folder}/{name} is accepted."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=path)


def test_create_needs_the_parent(workspace: WorkspaceClient, remote: Remote) -> None:
    """A missing parent folder is refused."""
    with pytest.raises(ResourceDoesNotExist, match="Parent directory /Repos/team does not exist"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path="/Repos/team/project")
    workspace.workspace.mkdirs("/Repos/team")
    workspace.repos.create(url=str(remote.bare), provider="gitHub", path="/Repos/team/project")


def test_create_twice_is_refused(workspace: WorkspaceClient, remote: Remote, repo_id: int) -> None:
    """Creating a Git folder at the path of another one is refused, and that one is unchanged."""
    with pytest.raises(ResourceAlreadyExists, match="already exists"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    assert workspace.repos.get(repo_id).branch == "main"


def test_create_inside_of_a_git_folder_is_refused(
    workspace: WorkspaceClient, remote: Remote, running: Running
) -> None:
    """Git folders do not nest."""
    outer = "/Users/user@example.com/outer"
    workspace.repos.create(url=str(remote.bare), provider="gitHub", path=outer)
    with pytest.raises(InvalidParameterValue, match="inside another"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=f"{outer}/src/inner")


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:a/b.git",
        "ssh://github.com/a/b",
        "ext::sh -c true",
        "https://user:secret@example.com/a",
        "http://example.com/a",
        "--upload-pack=true",
        "https://",
        "relative/path",
        "https://exa mple.com\n/a",
    ],
)
def test_create_refuses_other_kinds_of_url(workspace: WorkspaceClient, url: str) -> None:
    """Only https, and addresses on this machine, are allowed."""
    with pytest.raises(InvalidParameterValue) as refusal:
        workspace.repos.create(url=url, provider="gitHub", path=PATH)
    assert "secret" not in str(refusal.value)


def test_an_unknown_provider_is_refused(workspace: WorkspaceClient, remote: Remote) -> None:
    """The message lists the providers."""
    with pytest.raises(InvalidParameterValue, match="gitHubEnterprise"):
        workspace.repos.create(url=str(remote.bare), provider="gitea", path=PATH)


def test_sparse_checkout(workspace: WorkspaceClient, remote: Remote, folder: Path) -> None:
    """Only the given folders and the files of the root are checked out; the patterns can be changed."""
    remote.commit({"docs/a.md": "a", "data/b.csv": "b"})
    made = workspace.repos.create(
        url=str(remote.bare), provider="gitHub", path=PATH, sparse_checkout=SparseCheckout(patterns=["docs"])
    )
    assert made.id is not None
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "README.md", "docs"]
    workspace.repos.update(made.id, branch="main", sparse_checkout=SparseCheckoutUpdate(patterns=["data"]))
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "README.md", "data"]
    shown = workspace.repos.get(made.id).sparse_checkout
    assert shown is not None
    assert shown.patterns == ["data"]


def test_sparse_checkout_cannot_be_enabled_later(workspace: WorkspaceClient, repo_id: int) -> None:
    """Sparse checkout cannot be enabled on an existing Git folder, as documented."""
    with pytest.raises(InvalidParameterValue, match="not enabled"):
        workspace.repos.update(repo_id, branch="main", sparse_checkout=SparseCheckoutUpdate(patterns=["src"]))


def test_delete_removes_the_folder(workspace: WorkspaceClient, repo_id: int, folder: Path) -> None:
    """The id is unknown afterwards, and the path is free."""
    workspace.repos.delete(repo_id)
    assert not folder.exists()
    for call in (workspace.repos.get, workspace.repos.delete):
        with pytest.raises(ResourceDoesNotExist):
            call(repo_id)


def test_deleting_the_folder_of_a_git_folder_forgets_it(
    workspace: WorkspaceClient, repo_id: int, folder: Path
) -> None:
    """workspace/delete takes Git folders too."""
    workspace.workspace.delete(PATH, recursive=True)
    assert not folder.exists()
    with pytest.raises(ResourceDoesNotExist):
        workspace.repos.get(repo_id)


@pytest.mark.parametrize("repo_id", ["0", "999999999999999", "-1", "abc", "1" * 50])
def test_unknown_numbers(running: Running, repo_id: str) -> None:
    """Unknown and invalid ids are refused, never with status 500."""
    assert running.http().get(f"/api/2.0/repos/{repo_id}").status_code in {400, 404}


def test_list_pages_and_filters(workspace: WorkspaceClient, remote: Remote) -> None:
    """List without a prefix returns the Git folders below /Repos, in pages that the SDK follows."""
    workspace.workspace.mkdirs("/Repos/team")
    for number in range(23):
        path = f"/Repos/team/project-{number:02}"
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=path)
    workspace.repos.create(url=str(remote.bare), provider="gitHub", path="/Users/user@example.com/p")
    assert len(list(workspace.repos.list())) == 23
    assert len(list(workspace.repos.list(path_prefix="/Workspace"))) == 23
    assert len(list(workspace.repos.list(path_prefix="/Repos/team/project-1"))) == 10
    assert [repo.path for repo in workspace.repos.list(path_prefix="/Workspace/Users")] == [
        "/Users/user@example.com/p"
    ]


def test_somebody_elses_git_folder(running: Running, remote: Remote, repo_id: int) -> None:
    """Another user's Git folder cannot be read, changed, deleted or listed, and none created beside it."""
    other = running.workspace("other@example.com")
    calls: list[Callable[[], object]] = [
        lambda: other.repos.get(repo_id),
        lambda: other.repos.update(repo_id, branch="main"),
        lambda: other.repos.delete(repo_id),
        lambda: other.repos.create(url=str(remote.bare), provider="gitHub", path=f"{PATH}2"),
    ]
    for call in calls:
        with pytest.raises(PermissionDenied):
            call()
    assert list(other.repos.list()) == []


def test_git_folders_survive_a_restart(start_sandbox: Callable[..., Running], remote: Remote) -> None:
    """Ids, branches and files are kept, and an update works."""
    first = start_sandbox()
    made = first.workspace().repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    first.stop()
    commit = remote.commit({"README.md": "two\n"})
    again = start_sandbox().workspace()
    assert made.id is not None
    again.repos.update(made.id, branch="main")
    assert again.repos.get(made.id).head_commit_id == commit


def test_a_server_that_was_killed_while_it_cloned(
    start_sandbox: Callable[..., Running], remote: Remote, folder: Path
) -> None:
    """A record without files and a repository without a record are removed."""
    first = start_sandbox()
    first.workspace().repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    first.stop()
    shutil.rmtree(folder)
    histories = first.sandbox.layout.git
    (histories / "1.git").mkdir()
    again = start_sandbox()
    assert list(again.workspace().repos.list()) == []
    assert list(histories.glob("*.git")) == []
    again.workspace().repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    assert (folder / "README.md").exists()


def test_the_lock_of_a_git_that_was_killed(
    workspace: WorkspaceClient, running: Running, remote: Remote, repo_id: int
) -> None:
    """A lock file that a killed git left is deleted at the next update."""
    commit = remote.commit({"README.md": "two\n"})
    history = running.sandbox.layout.git / f"{repo_id}.git"
    (history / "index.lock").touch()
    (history / "refs/heads/main.lock").touch()
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit


def test_the_provider_follows_from_a_known_host(running: Running) -> None:
    """Known hosts need no provider, others do. The refused path keeps git out of the test."""
    create = {"url": "https://github.com/kedro-org/kedro.git", "path": "/Repos/project"}
    known = running.http().post("/api/2.0/repos", json=create)
    unknown = running.http().post("/api/2.0/repos", json={**create, "url": "http://localhost/r.git"})
    assert (known.status_code, unknown.status_code) == (400, 400)
    assert "Repo path must be in the format" in known.json()["message"]
    assert unknown.json()["message"] == "Missing required field: provider"


@pytest.mark.parametrize("patterns", ["docs", [1], [""], ["a\0b"], ["../up"], ["*.txt"], ["/docs"]])
def test_patterns_that_name_no_folders(
    running: Running, remote: Remote, folder: Path, patterns: object
) -> None:
    """Invalid sparse patterns are refused, and no Git folder is created."""
    create = {"url": str(remote.bare), "provider": "gitHub", "path": PATH}
    sparse = {"sparse_checkout": {"patterns": patterns}}
    answer = running.http().post("/api/2.0/repos", json={**create, **sparse})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "pattern" in answer.json()["message"]
    assert not folder.exists()


def test_other_patterns_without_another_branch(
    workspace: WorkspaceClient, remote: Remote, folder: Path
) -> None:
    """Changing only the sparse patterns changes the folders, not the commit."""
    remote.commit({"docs/a.md": "a", "data/b.csv": "b"})
    sparse = SparseCheckout(patterns=["docs"])
    made = workspace.repos.create(url=str(remote.bare), provider="gitHub", path=PATH, sparse_checkout=sparse)
    assert made.id is not None
    remote.commit({"docs/c.md": "c"})
    workspace.repos.update(made.id, sparse_checkout=SparseCheckoutUpdate(patterns=["data"]))
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "README.md", "data"]
    assert workspace.repos.get(made.id).head_commit_id == made.head_commit_id
