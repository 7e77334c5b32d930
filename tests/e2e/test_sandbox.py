"""`kedro databricks sandbox`: start, status, stop and reset."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient

from tests.e2e.commands import Shell
from tests.project_fixtures import make_project

pytestmark = pytest.mark.processes

START = "kedro databricks sandbox start"
STATUS = "kedro databricks sandbox status"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell in a project, with a sandbox home in which no sandbox runs."""
    return Shell(make_project(tmp_path / "project").path, tmp_path / "home")


def test_start_stop_and_reset(shell: Shell) -> None:
    """Start, use, start again, stop, start with other kernels (same port, files kept) and reset a sandbox."""
    shell.fails(STATUS, "not running", START)
    assert "is ready at http://127.0.0.1:" in shell.ok(START).out
    facts = json.loads(shell.ok(f"{STATUS} --json").out.splitlines()[-1])
    client = WorkspaceClient(host=facts["host"], token=facts["token"])
    assert client.current_user.me().user_name == facts["user"]
    assert f"is already running at {facts['host']}" in shell.ok(START).out
    client.dbfs.mkdirs("/kept")
    shell.ok("kedro databricks sandbox stop")
    shell.fails("kedro databricks sandbox stop", "not running")
    assert facts["host"] in shell.ok(f"{START} --kernels=portable").out, "the port stays the same"
    assert "Its kernels are portable" in shell.ok(STATUS).out
    assert "/kept" in [entry.path for entry in shell.client().dbfs.list("/")]
    shell.ok("kedro databricks sandbox reset --yes")
    assert not shell.home.exists()


def test_a_busy_port(shell: Shell) -> None:
    """Start on a port that is in use: the error names the port, and no sandbox is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shell.fails(f"{START} --port={port}", f"Port {port}", "in use")
    shell.fails(STATUS, "not running")
