"""`make contract`: a sandbox answers as another one does, and a changed answer shows."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.core import Config

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.core.guesses import GUESSES
from tests.sandbox import contract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox.conftest import Running


@pytest.mark.processes
def test_the_sandbox_and_itself(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row is the same; every guess that names rows has them."""
    monkeypatch.setenv("DATABRICKS_TOKEN", running.sandbox.user.token)
    monkeypatch.setenv("DATABRICKS_CLUSTER_ID", RUNNING_ID)
    contract.main([f"--host={running.url}", f"--git-url={contract.make_remote(tmp_path)}"])
    printed = capsys.readouterr().out
    *rows, _, total = printed.splitlines()[2:]
    assert [row for row in rows if not row.endswith(" | same |")] == []
    assert total == f"{len(rows)} rows: {len(rows)} same, 0 NOT, 0 not asked."
    assert "stopped: " not in printed
    assert {row for guess in GUESSES for row in guess.rows} <= {
        row.split(" | ")[0].strip("| ") for row in rows
    }


def test_a_changed_answer(start_sandbox: Callable[..., Running]) -> None:
    """Its row is not the same any more, and no other row changes."""
    ours, theirs = start_sandbox("ours"), start_sandbox("theirs")
    theirs.sandbox.faults.add("status", path="/api/2.0/dbfs/move", status=409, times=0)
    theirs.sandbox.faults.add("status", path="/api/2.0/secrets/*", status=500, times=0)
    found = []
    for running in (ours, theirs):
        host = contract.Host(
            Config(host=running.url, token=running.sandbox.user.token), "/Volumes/main/default/data"
        )
        with contextlib.closing(host.http):
            found.append(contract.answers(host, (contract.dbfs, contract.secrets, contract.git_folder)))
    table = {row: same for row, *_, same in contract.compared(*found)}
    assert {row for row, same in table.items() if same == "NOT"} == {
        "DBFS move onto a folder",
        "DBFS move below a missing folder",
    }
    assert table["scope that exists"] == table["rest of secrets"] == "not asked"
    assert "same" in table.values()
