"""`kedro databricks sandbox fault` and `switch`, against a running server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from kedro_databricks_hybrid.cli.sandbox import FAULT_EFFECTS as OFFERED
from kedro_databricks_hybrid.cli.sandbox import sandbox
from kedro_databricks_hybrid.sandbox.connection import HOME_VARIABLE
from kedro_databricks_hybrid.sandbox.faults.rules import EFFECTS
from tests.sandbox.notebooks import serve

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

ME = "/api/2.0/preview/scim/v2/Me"


def test_add_list_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is active from when it is added until it is cleared; an invalid one is refused in one line."""
    home = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(home))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(sandbox, ["fault", *arguments])
        return result.exit_code, result.output

    assert run("list")[0] != 0
    with serve(home) as server:
        added = run("add", "status", "--path", ME, "--times", "0", "--status", "429", "--retry-after", "7")
        assert added == (0, f"1: status 429 for * {ME}, hit 0 times\n")
        answer = server.http.get(ME)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert json.loads(run("list", "--json")[1])[0]["struck"] == 1
        assert run("list") == (0, f"1: status 429 for * {ME}, hit 1 times\n")
        assert run("clear", "1") == (0, "Removed fault 1.\n")
        assert server.http.get(ME).status_code == 200
        assert run("list") == (0, "There are no faults.\n")
        code, output = run("add", "status", "--status", "200")
        assert code != 0
        assert "Field 'status' of a fault is out of range" in output
        assert "Traceback" not in output
        assert run("clear") == (0, "Removed all faults.\n")


def test_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches take effect at once and survive a restart."""
    home = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(home))

    def switch(*arguments: str) -> str:
        return CliRunner().invoke(sandbox, ["switch", *arguments]).output

    with serve(home) as server:
        assert switch() == "The sandbox is like guide, has a public DBFS root and takes multipart uploads.\n"
        assert "has no public DBFS root" in switch("--no-public-dbfs-root")
        assert server.http.get("/api/2.0/dbfs/list", params={"path": "/tmp"}).status_code == 403
        assert "resumable uploads" in switch("--uploads=resumable")
        assert "It refuses an environment" in switch("--no-task-environments")
        assert "environment" not in switch("--task-environments")
    with serve(home) as server:
        assert switch() == "The sandbox is like guide, has no public DBFS root and takes resumable uploads.\n"
        assert "has a public DBFS root" in switch("--public-dbfs-root")
        assert server.http.get("/api/2.0/dbfs/list", params={"path": "/tmp"}).status_code == 200
        assert "is like free-edition, has no" in switch("--like=free-edition")
        started = CliRunner().invoke(sandbox, ["start", "--like=standard"]).output
        assert "is already running" in started
        assert "is like standard, has no" in switch()


def test_every_effect_is_offered() -> None:
    """The command offers every effect of the server, which it does not import."""
    assert set(OFFERED) == set(EFFECTS)
