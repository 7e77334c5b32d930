"""Git folders, through the SDK, with real clones of a real remote."""

from __future__ import annotations

import base64
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    DatabricksError,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceConflict,
    ResourceDoesNotExist,
)
from databricks.sdk.service.workspace import ObjectType, SparseCheckout, SparseCheckoutUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Remote, Running
    from databricks.sdk import WorkspaceClient

PATH = "/Repos/user@example.com/project"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the place of the Git folder on disk."""
    return tmp_path / "home/roots/Workspace" / PATH.lstrip("/")


@pytest.fixture
def repo_id(workspace: WorkspaceClient, remote: Remote) -> int:
    """Return the number of a Git folder of the remote."""
    made = workspace.repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    assert made.id is not None
    return made.id


def test_create_clones_the_default_branch(workspace: WorkspaceClient, remote: Remote, folder: Path) -> None:
    """The answer names branch and commit, and the files are there without a .git."""
    made = workspace.repos.create(url=str(remote.bare), provider="GITHUB", path=f"/Workspace{PATH}")
    assert (made.path, made.branch, made.provider) == (PATH, "main", "gitHub")
    assert made.head_commit_id == remote.git("rev-parse", "HEAD")
    assert (folder / "README.md").read_text() == "one\n"
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "README.md", "src"]


def test_create_without_a_path_uses_the_repos_name(workspace: WorkspaceClient, remote: Remote) -> None:
    """The default place is the user's folder under /Repos."""
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
    """Below /Repos the form is /Repos/{folder}/{name}."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=path)


def test_create_needs_the_parent(workspace: WorkspaceClient, remote: Remote) -> None:
    """A missing parent folder is not made."""
    with pytest.raises(ResourceDoesNotExist, match="Parent directory /Repos/team does not exist"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path="/Repos/team/project")
    workspace.workspace.mkdirs("/Repos/team")
    workspace.repos.create(url=str(remote.bare), provider="gitHub", path="/Repos/team/project")


def test_create_twice_is_refused(workspace: WorkspaceClient, remote: Remote, repo_id: int) -> None:
    """The path is taken, and the first Git folder stays as it was."""
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
    """Only https, and what exists on this machine alone."""
    with pytest.raises(InvalidParameterValue) as refusal:
        workspace.repos.create(url=url, provider="gitHub", path=PATH)
    assert "secret" not in str(refusal.value)


def test_an_unknown_provider_is_refused(workspace: WorkspaceClient, remote: Remote) -> None:
    """The message lists the providers there are."""
    with pytest.raises(InvalidParameterValue, match="gitHubEnterprise"):
        workspace.repos.create(url=str(remote.bare), provider="gitea", path=PATH)


def test_a_remote_that_is_not_there(workspace: WorkspaceClient, tmp_path: Path, folder: Path) -> None:
    """The clone's error is the API's, and nothing is left behind."""
    with pytest.raises(DatabricksError, match="Failed to read the remote") as refusal:
        workspace.repos.create(url=str(tmp_path / "nothing.git"), provider="gitHub", path=PATH)
    assert refusal.value.error_code == "GIT_REMOTE_ERROR"
    assert not folder.exists()
    assert list(workspace.repos.list()) == []


def test_an_empty_remote_then_its_first_commit(
    workspace: WorkspaceClient, tmp_path: Path, remote: Remote, folder: Path
) -> None:
    """A clone of nothing has no commit; after a push the branch can be checked out."""
    remote.git("init", "-q", "--bare", "--initial-branch=main", str(tmp_path / "empty.git"))
    made = workspace.repos.create(url=str(tmp_path / "empty.git"), provider="gitHub", path=PATH)
    assert (made.branch, made.head_commit_id) == ("main", None)
    assert made.id is not None
    with pytest.raises(NotFound, match="main"):
        workspace.repos.update(made.id, branch="main")
    remote.git("push", "-q", str(tmp_path / "empty.git"), "HEAD:main")
    workspace.repos.update(made.id, branch="main")
    assert workspace.repos.get(made.id).head_commit_id == remote.git("rev-parse", "HEAD")
    assert (folder / "README.md").exists()


def test_update_to_the_same_branch_pulls(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """New, changed and removed files arrive, and the head commit says so."""
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
    """The folder shows the branch as the remote has it, not a merge."""
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
    workspace: WorkspaceClient, repo_id: int, remote: Remote, ref: dict[str, str]
) -> None:
    """It is named, and the folder stays where it was."""
    with pytest.raises(NotFound, match=next(iter(ref.values()))):
        workspace.repos.update(repo_id, **ref)
    assert workspace.repos.get(repo_id).head_commit_id == remote.git("rev-parse", "HEAD")


def test_a_branch_that_the_remote_deleted(workspace: WorkspaceClient, repo_id: int, remote: Remote) -> None:
    """What was fetched earlier does not count."""
    remote.commit({"README.md": "x\n"}, "gone")
    workspace.repos.update(repo_id, branch="gone")
    remote.git("push", "-q", "origin", "--delete", "gone")
    with pytest.raises(NotFound, match="gone"):
        workspace.repos.update(repo_id, branch="gone")


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "x^{tree}", "a:b", "/a", "a.lock", "a\x00b"])
def test_names_that_no_branch_can_have(workspace: WorkspaceClient, repo_id: int, name: str) -> None:
    """They never reach git."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.update(repo_id, branch=name)


@pytest.mark.parametrize("arguments", [{}, {"branch": "main", "tag": "v1"}])
def test_update_wants_a_branch_or_a_tag(
    workspace: WorkspaceClient, repo_id: int, arguments: dict[str, str]
) -> None:
    """Exactly one of the two."""
    with pytest.raises(InvalidParameterValue):
        workspace.repos.update(repo_id, **arguments)


def test_edits_that_would_be_lost_refuse_the_update(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """The files are named: edited ones, and untracked ones that the commit would overwrite."""
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
    """What the checkout does not touch stays edited."""
    commit = remote.commit({"new.txt": "new\n"})
    (folder / "README.md").write_text("edited\n")
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit
    assert (folder / "README.md").read_text() == "edited\n"


def test_discard_all_throws_edits_away(
    workspace: WorkspaceClient, remote: Remote, repo_id: int, folder: Path
) -> None:
    """Edited, deleted and untracked files, but not ignored ones."""
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
    """A refusal destroys nothing."""
    (folder / "README.md").write_text("edited\n")
    with pytest.raises(NotFound):
        workspace.repos.update(repo_id, branch="nowhere", dangerously_force_discard_all=True)
    assert (folder / "README.md").read_text() == "edited\n"


def test_sparse_checkout(workspace: WorkspaceClient, remote: Remote, folder: Path) -> None:
    """Only the folders named, and the files of the root; changed later."""
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
    """As the API documents it."""
    with pytest.raises(InvalidParameterValue, match="not enabled"):
        workspace.repos.update(repo_id, branch="main", sparse_checkout=SparseCheckoutUpdate(patterns=["src"]))


def test_delete_removes_the_folder(workspace: WorkspaceClient, repo_id: int, folder: Path) -> None:
    """The number is unknown afterwards and the path is free."""
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
    """Never a 500."""
    assert running.http().get(f"/api/2.0/repos/{repo_id}").status_code in {400, 404}


def test_list_pages_and_filters(workspace: WorkspaceClient, remote: Remote) -> None:
    """Without a prefix those under /Repos; the SDK follows the pages."""
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
    """Neither read, nor changed, nor listed, nor created in."""
    other = running.workspace("other@example.com")
    for call in (
        lambda: other.repos.get(repo_id),
        lambda: other.repos.update(repo_id, branch="main"),
        lambda: other.repos.delete(repo_id),
        lambda: other.repos.create(url=str(remote.bare), provider="gitHub", path=f"{PATH}2"),
    ):
        with pytest.raises(PermissionDenied):
            call()
    assert list(other.repos.list()) == []


def test_git_folders_survive_a_restart(start_sandbox: Callable[..., Running], remote: Remote) -> None:
    """Numbers, branches and files are as they were, and a pull works."""
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
    """Neither a record without files nor a history without a record stays in the way."""
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
    """It does not block the Git folder for ever."""
    commit = remote.commit({"README.md": "two\n"})
    history = running.sandbox.layout.git / f"{repo_id}.git"
    (history / "index.lock").touch()
    (history / "refs/heads/main.lock").touch()
    workspace.repos.update(repo_id, branch="main")
    assert workspace.repos.get(repo_id).head_commit_id == commit


def test_updates_at_the_same_time(running: Running, remote: Remote, repo_id: int, folder: Path) -> None:
    """They take their turns; afterwards one of the branches is checked out, whole."""
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


class _PrivateRemote(BaseHTTPRequestHandler):
    """Git's dumb HTTP protocol over a folder, for whoever knows the password."""

    root: Path
    wanted = "Basic " + base64.b64encode(b"someone:sesame").decode()

    def do_GET(self) -> None:
        """Serve a file, or ask for a password."""
        if self.headers.get("Authorization") != self.wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.root / self.path.split("?")[0].lstrip("/")
        content = path.read_bytes() if path.is_file() else None
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def private_url(tmp_path: Path, remote: Remote) -> Iterator[str]:
    """Serve the remote over HTTP behind a password."""
    remote.git("--git-dir", str(remote.bare), "update-server-info")
    handler = type("Handler", (_PrivateRemote,), {"root": tmp_path})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/remote.git"
        server.shutdown()
        thread.join()


def test_a_private_remote_needs_a_credential(
    workspace: WorkspaceClient, private_url: str, running: Running
) -> None:
    """None, a wrong one, the right one; the token is written nowhere but in the credentials."""
    with pytest.raises(PermissionDenied, match="Missing Git provider credentials"):
        workspace.repos.create(url=private_url, provider="gitHub", path=PATH)
    credential = workspace.git_credentials.create(
        git_provider="gitHub", git_username="someone", personal_access_token="wrong"
    )
    with pytest.raises(PermissionDenied, match="Invalid Git provider credentials"):
        workspace.repos.create(url=private_url, provider="gitHub", path=PATH)
    workspace.git_credentials.update(
        credential.credential_id, git_provider="gitHub", personal_access_token="sesame"
    )
    made = workspace.repos.create(url=private_url, provider="gitHub", path=PATH)
    assert made.branch == "main"
    written = [
        path
        for path in running.sandbox.layout.home.rglob("*")
        if path.is_file() and (b"sesame" in path.read_bytes())
    ]
    assert [path.name for path in written] == ["git_credentials.json"]


def test_a_credential_of_another_provider_is_not_shown(workspace: WorkspaceClient, private_url: str) -> None:
    """Each provider has its own, unless a credential is named."""
    credential = workspace.git_credentials.create(
        git_provider="gitLab", git_username="someone", personal_access_token="sesame"
    )
    with pytest.raises(PermissionDenied, match="Missing Git provider credentials"):
        workspace.repos.create(url=private_url, provider="gitHub", path=PATH)
    workspace.repos.create(
        url=private_url, provider="gitHub", path=PATH, git_credential_id=credential.credential_id
    )


def test_a_remote_that_never_answers(workspace: WorkspaceClient, running: Running) -> None:
    """The time limit ends git, and the API says so."""
    running.sandbox.repos.git.time_limit = 0.5
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_address[1]}/a.git"
        with pytest.raises(DatabricksError, match="timed out"):
            workspace.repos.create(url=url, provider="gitHub", path=PATH)
