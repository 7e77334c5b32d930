"""Git folders of remotes that are missing, empty, private or silent."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
)
from databricks.sdk.errors.base import DatabricksError

from kedro_databricks_hybrid.sandbox.repos.git import GitFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote, Running

PATH = "/Repos/user@example.com/project"


def test_a_remote_that_is_not_there(workspace: WorkspaceClient, tmp_path: Path, folder: Path) -> None:
    """A missing remote: the API returns the error of the clone, and no files are left."""
    with pytest.raises(BadRequest, match=r"Remote repo not found\. Please ensure that:") as refusal:
        workspace.repos.create(url=str(tmp_path / "nothing.git"), provider="gitHub", path=PATH)
    assert refusal.value.error_code == "BAD_REQUEST"
    assert not folder.exists()
    assert list(workspace.repos.list()) == []


def test_an_empty_remote_then_its_first_commit(
    workspace: WorkspaceClient, tmp_path: Path, remote: Remote, folder: Path
) -> None:
    """The clone of an empty remote has no commit; after a push the branch can be checked out."""
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


class _PrivateRemote(BaseHTTPRequestHandler):
    """Serves a folder by git's dumb HTTP protocol, with a password."""

    root: Path
    wanted = "Basic " + base64.b64encode(b"someone:sesame").decode()

    def do_GET(self) -> None:
        """Serve a file, or request the password."""
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
        """Log nothing."""


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
    """No credential, a wrong one and the right one; only the credentials file contains the token."""
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
    """Each provider has one, unless the request names a credential."""
    credential = workspace.git_credentials.create(
        git_provider="gitLab", git_username="someone", personal_access_token="sesame"
    )
    with pytest.raises(PermissionDenied, match="Missing Git provider credentials"):
        workspace.repos.create(url=private_url, provider="gitHub", path=PATH)
    workspace.repos.create(
        url=private_url, provider="gitHub", path=PATH, git_credential_id=credential.credential_id
    )


def test_a_remote_that_never_answers(workspace: WorkspaceClient, running: Running) -> None:
    """Git is killed at the time limit, and the error names it."""
    running.sandbox.repos.git.time_limit = 0.5
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_address[1]}/a.git"
        with pytest.raises(DatabricksError, match="timed out"):
            workspace.repos.create(url=url, provider="gitHub", path=PATH)


def test_a_commit_that_no_disk_can_hold(workspace: WorkspaceClient, remote: Remote, folder: Path) -> None:
    """Git allows names that are too long for a file system; such a clone is refused, and stays incomplete."""
    content = remote.git("rev-parse", "HEAD:README.md")
    remote.git("update-index", "--add", "--cacheinfo", f"100644,{content},{'n' * 300}")
    remote.git("commit", "-q", "-m", "A long name")
    remote.git("push", "-q", "origin", "HEAD")
    with pytest.raises(BadRequest, match=r"Repo may be incomplete\. Failure reason: .*too long"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=PATH)
    assert folder.is_dir()
    assert [(repo.path, repo.branch) for repo in workspace.repos.list()] == [(PATH, "main")]
    with pytest.raises(ResourceAlreadyExists, match=f"Repo {PATH} already exists"):
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=PATH)


def _plain(history: Path, at: Path) -> str:
    return str(history)


def _link(history: Path, at: Path) -> str:
    (at / "link.git").symlink_to(history)
    return str(at / "link")


def _file_url(history: Path, at: Path) -> str:
    (at / "li nk").symlink_to(history.parent)
    return f"file://localhost{at}/li%20nk/{history.name}"


def _git_file(history: Path, at: Path) -> str:
    (at / ".git").write_text(f"gitdir: {history}\n")
    return str(at)


def _git_file_of_a_link(history: Path, at: Path) -> str:
    (at / "link").symlink_to(history.parent)
    (at / ".git").write_text(f"gitdir: link/{history.name}\n")
    return f"file://{at}"


def _repository(at: Path, taken: Path) -> Path:
    """Make a repository that looks like another one but has no objects."""
    for name in ("HEAD", "config", "packed-refs", "refs"):
        if (taken / name).is_dir():
            shutil.copytree(taken / name, at / name)
        else:
            shutil.copy(taken / name, at / name)
    return at


def _alternates(history: Path, at: Path) -> str:
    (_repository(at, history) / "objects/info").mkdir(parents=True)
    (at / "objects/info/alternates").write_text(f"{history}/objects\n")
    return str(at)


def _linked_objects(history: Path, at: Path) -> str:
    _repository(at, history)
    (at / "elsewhere").mkdir()
    for entry in (history / "objects").iterdir():
        (at / "elsewhere" / entry.name).symlink_to(entry)
    (at / "objects").symlink_to("elsewhere")
    return f"file://{at}"  # git itself refuses such a path


def _common_directory(history: Path, at: Path) -> str:
    shutil.copy(history / "HEAD", at / "HEAD")
    (at / "commondir").write_text(f"{history}\n")
    return str(at)


WAYS = [
    _plain,
    _link,
    _file_url,
    _git_file,
    _git_file_of_a_link,
    _alternates,
    _linked_objects,
    _common_directory,
]


@pytest.mark.parametrize("way", WAYS)
def test_the_history_of_another_user(
    running: Running,
    repo_id: int,
    tmp_path: Path,
    way: Callable[[Path, Path], str],
) -> None:
    """The repository of another user's Git folder cannot be cloned, for a Git folder or for a run."""
    history = running.sandbox.layout.git / f"{repo_id}.git"
    (tmp_path / "at").mkdir()
    url = way(history, tmp_path / "at")
    plain_git = ["git", "-c", "safe.directory=*", "clone", "-q", "--", url, str(tmp_path / "taken")]
    subprocess.run(plain_git, check=True, capture_output=True)
    assert (tmp_path / "taken/README.md").exists()
    other = running.workspace("other@example.com")
    theirs = "/Repos/other@example.com/project"
    with pytest.raises(BadRequest, match="one of the sandbox's own folders, or uses one"):
        other.repos.create(url=url, provider="gitHub", path=theirs)
    assert list(other.workspace.list("/Repos/other@example.com")) == []
    with pytest.raises(GitFailedError, match="own folders"):
        asyncio.run(
            running.sandbox.repos.git(
                "clone", "--", f"{repo_id}.git", str(tmp_path / "x"), url=f"{repo_id}.git"
            )
        )


def test_a_remote_that_becomes_the_history_of_another_user(
    running: Running, remote: Remote, repo_id: int, tmp_path: Path
) -> None:
    """A remote that later leads to another user's repository is refused when it is fetched."""
    other = running.workspace("other@example.com")
    theirs = other.repos.create(
        url=str(remote.bare), provider="gitHub", path="/Repos/other@example.com/project"
    )
    remote.bare.rename(tmp_path / "away")
    remote.bare.symlink_to(running.sandbox.layout.git / f"{repo_id}.git")
    assert theirs.id is not None
    with pytest.raises(BadRequest, match="own folders"):
        other.repos.update(theirs.id, branch="main")
