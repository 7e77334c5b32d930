"""Git folders of remotes that are missing, empty, private or silent."""

from __future__ import annotations

import base64
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote, Running

PATH = "/Repos/user@example.com/project"


def test_a_remote_that_is_not_there(workspace: WorkspaceClient, tmp_path: Path, folder: Path) -> None:
    """The API returns the error of the clone, and no files are left."""
    with pytest.raises(BadRequest, match=r"Remote repo not found\. Please ensure that:") as refusal:
        workspace.repos.create(url=str(tmp_path / "nothing.git"), provider="gitHub", path=PATH)
    assert refusal.value.error_code == "BAD_REQUEST"
    assert not folder.exists()
    assert list(workspace.repos.list()) == []


def test_an_empty_remote_then_its_first_commit(
    workspace: WorkspaceClient, tmp_path: Path, remote: Remote, folder: Path
) -> None:
    """Its clone has no commit; after a push the branch can be checked out."""
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
