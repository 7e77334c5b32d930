"""Fixtures: a sandbox server for each test, and the real clients that use it."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.sandbox.notebooks import Notebook, open_notebook
from tests.sandbox_server import ServerThread, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the certificates for each client takes longer
_GIT_FOLDER = "/Repos/user@example.com/project"
_IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]


@dataclass
class Running:
    """One server in a thread of this process."""

    sandbox: Sandbox
    server: ServerThread
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The server's address."""
        return self.sandbox.url

    def workspace(self, user: str | None = None) -> WorkspaceClient:
        """Return the SDK's client for a user, who is added if new."""
        token = self.sandbox.users.add(user or self.sandbox.user.name).token
        config = Config(host=self.url, token=token, retry_timeout_seconds=5, http_timeout_seconds=30)
        return WorkspaceClient(config=config)

    def http(self, user: str | None = None) -> httpx.Client:
        """Return a plain HTTP client with a user's token."""
        token = self.sandbox.users.add(user or self.sandbox.user.name).token
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=_NO_TLS)
        self.clients.append(client)
        return client

    def stop(self) -> None:
        """End the server and wait for it."""
        for client in self.clients:
            client.close()
        self.server.stop()


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a server in a new home, or in that of an earlier server with the same name."""
    running: list[Running] = []

    def start(name: str = "home", like: str | None = None) -> Running:
        sandbox = Sandbox(Layout(tmp_path / name), like=like)
        sandbox.clusters.start_seconds = 0.05
        running.append(Running(sandbox, serve(sandbox)))
        return running[-1]

    yield start
    for one in running:
        if one.server.thread.is_alive():
            one.stop()


@pytest.fixture
def running(start_sandbox: Callable[..., Running]) -> Running:
    """Return a server with a new home."""
    return start_sandbox()


@pytest.fixture
def workspace(running: Running) -> WorkspaceClient:
    """Return the SDK's client of the default user."""
    return running.workspace()


@pytest.fixture
def http(running: Running) -> httpx.Client:
    """Return a plain HTTP client of the default user."""
    return running.http()


@dataclass
class Remote:
    """A bare repository, and a clone whose commits are pushed to it."""

    bare: Path
    clone: Path

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        done = subprocess.run(
            ["git", *_IDENTITY, *arguments], cwd=self.clone, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str | None], branch: str | None = None) -> str:
        """Commit files (None deletes one), push the branch, and return the commit."""
        if branch is not None:
            self.git("checkout", "-q", "-B", branch)
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        self.git("push", "-q", "--force", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """Return a Git remote whose branch main has a README.md and a package."""
    bare, clone = tmp_path / "remote.git", tmp_path / "clone"
    for command in (
        ["git", "init", "-q", "--bare", "--initial-branch=main", str(bare)],
        ["git", "clone", "-q", str(bare), str(clone)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    made = Remote(bare, clone)
    made.commit({"README.md": "one\n", "src/package/__init__.py": "", ".gitignore": "*.log\n"}, "main")
    return made


@pytest.fixture
def notebook(http: httpx.Client) -> Notebook:
    """Return a running context."""
    return open_notebook(http)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the path on disk of the Git folder."""
    return tmp_path / "home/roots/Workspace" / _GIT_FOLDER.lstrip("/")


@pytest.fixture
def repo_id(workspace: WorkspaceClient, remote: Remote) -> int:
    """Return the id of a Git folder of the remote."""
    made = workspace.repos.create(url=str(remote.bare), provider="gitHub", path=_GIT_FOLDER)
    assert made.id is not None
    return made.id
