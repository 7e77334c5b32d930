"""A sandbox in a thread, a proxy to it that can cause faults, and a data folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.core import Config

from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.transfer.pull import Pull
from kedro_databricks_hybrid.transfer.push import Push
from kedro_databricks_hybrid.transfer.trees import volume_parts, volumes
from kedro_databricks_hybrid.transfer.trees.open import open_tree
from tests.sandbox_server import serve
from tests.transfer.bad_line import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

DBFS = "dbfs:/projects/shop/data"
VOLUME = "/Volumes/main/default/data/shop"
PARTS = 6
PART = 1024 * 1024


@dataclass
class Site:
    """A sandbox, reached through a proxy that can cause faults.

    Args:
        sandbox: The server's state.
        line: The proxy.
    """

    sandbox: Sandbox
    line: BadLine

    def workspace(self, seconds: int = 20) -> Workspace:
        """Log in through the proxy."""
        config = Config(
            host=self.line.url,
            token=self.sandbox.user.token,
            auth_type="pat",
            retry_timeout_seconds=seconds,
            http_timeout_seconds=10,
        )
        return Workspace(Client(config), "user@example.com", None)

    def tree(self, root: str = DBFS) -> RemoteTree:
        """Open a data root with a new client."""
        return open_tree(self.workspace(), root)

    def folder(self, root: str = DBFS) -> Path:
        """Return the folder of a data root on this machine."""
        if root.startswith("dbfs:"):
            return self.sandbox.layout.dbfs / root.removeprefix("dbfs:/")
        return self.sandbox.layout.volumes / root.removeprefix("/Volumes/")

    def files(self, root: str = DBFS) -> dict[str, bytes]:
        """Return the files below a data root, without the state folder."""
        return tree_of(self.folder(root))

    def push(self, data: Path, root: str = DBFS) -> Push:
        """Return a push from a data folder."""
        return Push(self.tree(root), data, root)

    def pull(self, data: Path, root: str = DBFS) -> Pull:
        """Return a pull to a data folder."""
        return Pull(self.tree(root), data, root)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, without the state folder."""
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


@contextlib.contextmanager
def served_site(home: Path) -> Iterator[Site]:
    """Serve a sandbox with a volume in it."""
    sandbox = Sandbox(Layout(home))
    served = serve(sandbox)
    line = BadLine(int(sandbox.url.rpartition(":")[2]))
    sandbox.url = line.url
    yield Site(sandbox, line)
    line.close()
    served.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve a sandbox with a volume in it."""
    with served_site(tmp_path / "home") as site:
        yield site


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


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with one file of six parts, which are smaller than in production."""
    monkeypatch.setattr(volume_parts, "PART", PART)
    monkeypatch.setattr(volumes, "_IN_PARTS", PART)
    return fill(tmp_path / "data", {"01_raw/large.bin": os.urandom(PART) * (PARTS - 1) + b"end"})


@dataclass
class Pushes:
    """Pushes in processes that a test can kill.

    Args:
        site: The sandbox that they push to.
    """

    site: Site
    pid: int = 0

    def __post_init__(self) -> None:
        script = Path(__file__).with_name("pushes_to_kill.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        )

    def begin(self, data: Path, root: str = DBFS, **more: str) -> None:
        """Start a push; `pid` is its process."""
        order = {
            "host": self.site.line.url,
            "token": self.site.sandbox.user.token,
            "data": str(data),
            "root": root,
            **more,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self.pid = self._answer()

    def end(self) -> int:
        """Wait for the push and return its exit status."""
        return self._answer()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the push, if it is still running."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """End the process that starts the pushes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture
def pushes(site: Site) -> Iterator[Pushes]:
    """Push in processes that a test can kill."""
    several = Pushes(site)
    yield several
    several.close()
