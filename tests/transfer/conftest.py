"""A sandbox in a thread, a data folder, and a line to the sandbox on which things go wrong."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import uvicorn
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from kedro_databricks_hybrid.sandbox.app import Sandbox, create_app
from kedro_databricks_hybrid.sandbox.layout import Layout
from kedro_databricks_hybrid.transfer import roots
from kedro_databricks_hybrid.transfer.pull import Pull
from kedro_databricks_hybrid.transfer.push import Push
from kedro_databricks_hybrid.workspace import Workspace
from tests.transfer.bad_line import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.transfer.remote import RemoteTree

DBFS = "dbfs:/projects/shop/data"
VOLUME = "/Volumes/main/default/data/shop"


@dataclass
class Site:
    """A sandbox, reached through a line that can be told to misbehave.

    Args:
        sandbox: The server's state.
        line: The line to it.
    """

    sandbox: Sandbox
    line: BadLine

    def workspace(self, seconds: int = 20) -> Workspace:
        """Log in through the line."""
        config = Config(
            host=self.line.url,
            token=self.sandbox.user.token,
            auth_type="pat",
            retry_timeout_seconds=seconds,
            http_timeout_seconds=10,
        )
        return Workspace(WorkspaceClient(config=config), "user@example.com", None)

    def tree(self, root: str = DBFS) -> RemoteTree:
        """Return a data root, with connections of its own."""
        return roots.tree(self.workspace(), root)

    def folder(self, root: str = DBFS) -> Path:
        """Return where a data root lies on this machine."""
        if root.startswith("dbfs:"):
            return self.sandbox.layout.dbfs / root.removeprefix("dbfs:/")
        return self.sandbox.layout.volumes / root.removeprefix("/Volumes/")

    def files(self, root: str = DBFS) -> dict[str, bytes]:
        """Return what lies below a data root, without what the tool keeps for itself."""
        return tree_of(self.folder(root))

    def push(self, data: Path, root: str = DBFS) -> Push:
        """Return a push from a data folder."""
        return Push(self.tree(root), data, root)

    def pull(self, data: Path, root: str = DBFS) -> Pull:
        """Return a pull to a data folder."""
        return Pull(self.tree(root), data, root)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, without what the tool keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".kedro-hybrid" not in path.relative_to(folder).parts
    }


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve a sandbox with a volume in it."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    listener = socket.create_server(("127.0.0.1", 0))
    sandbox.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(sandbox), log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    line = BadLine(listener.getsockname()[1])
    sandbox.url = line.url
    yield Site(sandbox, line)
    line.close()
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive(), "the server did not end"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with files of several sizes and names."""
    return fill(
        tmp_path / "project" / "data",
        {
            "01_raw/a.csv": b"a,b\n1,2\n",
            "01_raw/empty.csv": b"",
            "01_raw/deep/er/name with spaces, \xc3\xa4.csv".encode("latin-1").decode("utf-8"): b"x" * 5000,
            "03_primary/large.bin": bytes(range(256)) * 4096 * 3 + b"end",
        },
    )
