"""A project with a Git remote, a sandbox that counts requests, and commands that run in this process.

The conftest.py of each folder that uses the fixtures `site` and `pushed` imports them.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import rich
from click.testing import CliRunner, Result
from databricks.sdk.core import Config
from kedro.framework.startup import bootstrap_project
from starlette.responses import Response

from kedro_databricks_hybrid.cli import databricks
from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.sandbox.app import Sandbox, create_app
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.project_fixtures import PACKAGE, forget_project, make_project
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Requests(list[str]):
    """The requests that a server received, in order.

    Attributes:
        on_request: Called with each request before it is answered.
        instead: What to answer instead of the sandbox, by the beginning of the request: a body, or None to
            wait until `released` is set.
        bodies: Each request that has a body, with this body, if a test sets it to a list.
    """

    on_request: Callable[[str], None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.instead: dict[str, bytes | None] = {}
        self.bodies: list[tuple[str, bytes]] | None = None
        self.released = threading.Event()

    async def answered(self, asked: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request from `instead`, if it is there, and return whether it was."""
        for begins, body in self.instead.items():
            if asked.startswith(begins):
                if body is None:
                    await asyncio.to_thread(self.released.wait)
                await Response(body or b"", media_type="application/json")(scope, receive, send)
                return True
        return False


@dataclass
class Counting:
    """Record each request and pass it on."""

    app: ASGIApp
    requests: Requests = field(default_factory=Requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a request and pass it on."""
        if scope["type"] == "http":
            asked = f"{scope['method']} {scope['path']}"
            self.requests.append(asked)
            if self.requests.on_request:
                self.requests.on_request(asked)
            if await self.requests.answered(asked, scope, receive, send):
                return
            if self.requests.bodies is not None:
                receive = _noting(asked, receive, self.requests.bodies)
        await self.app(scope, receive, send)


def _noting(asked: str, receive: Receive, bodies: list[tuple[str, bytes]]) -> Receive:
    """Return a function that receives the same and notes each body."""

    async def noted() -> Message:
        message = await receive()
        if body := message.get("body"):
            bodies.append((asked, body))
        return message

    return noted


@dataclass
class Site:
    """Everything that one test with Git needs.

    Args:
        sandbox: The server's state.
        requests: The requests that it received, in order.
        project: The Kedro project, a clone.
        remote: Its bare remote.
        name: The name of its Git folder.
    """

    sandbox: Sandbox
    requests: Requests
    project: Path
    remote: Path
    name: str = "tiny"

    @property
    def path(self) -> str:
        """The Git folder's path."""
        return f"/Workspace/Repos/user@example.com/{self.name}"

    @property
    def files(self) -> Path:
        """The folder of the Git folder's files on this machine."""
        return self.sandbox.layout.workspace / "Repos" / "user@example.com" / self.name

    @property
    def repository(self) -> Repository:
        """The project's repository."""
        return Repository(self.project)

    def workspace(self) -> Workspace:
        """Log in."""
        config = Config(
            host=self.sandbox.url, token=self.sandbox.user.token, auth_type="pat", retry_timeout_seconds=20
        )
        return Workspace(Client(config), "user@example.com", None)

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Run git in the project or elsewhere."""
        done = subprocess.run(
            ["git", *arguments], cwd=at or self.project, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def write(self, files: dict[str, str | bytes | None], at: Path | None = None) -> None:
        """Write or delete files in the project or elsewhere."""
        for name, content in files.items():
            path = (at or self.project) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: dict[str, str | bytes | None], message: str = "Change") -> str:
        """Commit files in the project and return the commit."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def call(self, *arguments: str, status: int = 0, **options: Any) -> Result:
        """Call `kedro databricks` in this process and check its exit status."""
        forget_project()
        metadata = bootstrap_project(self.project)
        try:
            result = CliRunner().invoke(databricks, arguments, obj=metadata, **options)
        finally:
            rich.reconfigure()  # --json sends Kedro's log to stderr
        shown = f"$ {' '.join(arguments)}\n{result.output}\n{result.exception!r}"
        assert result.exit_code == status, shown
        assert result.exception is None or isinstance(result.exception, SystemExit), shown
        return result

    def repo(self) -> Any:
        """Return the Git folder as the repos API describes it."""
        client = self.workspace().client
        return client.repos.get(client.workspace.get_status(self.path).object_id or 0)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a sandbox, and create a project with one commit and an empty remote."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    app = Counting(create_app(sandbox))
    served = serve(sandbox, app)
    monkeypatch.setenv("DATABRICKS_HOST", sandbox.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", sandbox.user.token)
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path / "state"))
    project = make_project(tmp_path / "tiny").write(
        {
            ".gitignore": "/data/02_intermediate/\n/conf/local/\n__pycache__/\n*.log\n",
            "requirements.txt": "kedro\n",
            "conf/base/databricks.yml": (
                "code:\n  folder: /Workspace/Repos/{user}/tiny\ncompute:\n  cluster: sandbox\n"
            ),
            "conf/databricks/databricks.yml": "data:\n  root: dbfs:/root/projects/tiny/data\n",
        }
    )
    made = Site(sandbox, app.requests, project.path, tmp_path / "tiny.git")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(made.remote)], check=True)
    made.git("init", "-q", "-b", "main")
    made.git("remote", "add", "origin", str(made.remote))
    made.commit({}, "First")
    yield made
    forget_project()
    made.requests.released.set()
    served.stop()


@pytest.fixture
def pushed(site: Site) -> Site:
    """Push the site's code once."""
    site.call("push", "--no-data")
    site.requests.clear()
    return site


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stdin look like a terminal, which click's test runner does not provide."""
    terminal = SimpleNamespace(isatty=lambda: True)
    for name in ("init", "layout"):
        monkeypatch.setattr(f"kedro_databricks_hybrid.cli.{name}.sys", SimpleNamespace(stdin=terminal))


@pytest.fixture
def stranger(site: Site) -> Site:
    """Return a site whose project has SparkHooks and is not prepared for Databricks."""
    site.git("rm", "-q", "-r", "conf/base/databricks.yml", "conf/databricks/databricks.yml")
    hooks = f"from {PACKAGE}.hooks import SparkHooks\n\nHOOKS = (SparkHooks(),)\n"
    site.commit(
        {
            f"src/{PACKAGE}/hooks.py": "class SparkHooks: ...\n",
            f"src/{PACKAGE}/settings.py": f'"""Settings."""\n{hooks}',
            "requirements.txt": "kedro",
        },
        "A stranger",
    )
    site.name = "tiny-shop"
    return site
