"""Runs survive a restart, also those that an earlier version wrote as one JSON file."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.sandbox.core.store import Store
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, Runs, State

BEFORE = Path(__file__).with_name("runs_of_the_version_before.json")
"""The file that a sandbox of the version before wrote while the last of four runs was active."""

NEW = {
    "ready": 0,
    "values": {},
    "outcome": "",
    "child": 0,
    "iterations": [],
    "is_iteration": False,
    "input": None,
}
"""The attributes of a task's run that the version before did not have."""

USER = "user@example.com"
SUBMITTED, NOTEBOOK, REPAIRED, UNDER_WAY = (int(number) for number in json.loads(BEFORE.read_bytes()))


def runs_before(folder: Path) -> Runs:
    """Return the runs in a home of the earlier version."""
    shutil.copyfile(BEFORE, folder / "runs.json")
    return Runs(Store(folder))


def test_runs_of_the_version_before(tmp_path: Path) -> None:
    """Runs of the earlier version keep all attributes, newest first, and the old file is deleted."""
    saved = json.loads(BEFORE.read_bytes())
    runs = runs_before(tmp_path)
    assert [run.run_id for run in runs.all()] == [UNDER_WAY, REPAIRED, NOTEBOOK, SUBMITTED]
    for run_id in (SUBMITTED, NOTEBOOK, REPAIRED):
        for one in [*saved[str(run_id)]["tasks"], *saved[str(run_id)]["earlier"]]:
            one.update(NEW)
        assert json.loads(json.dumps(runs.find(run_id)[0], default=vars)) == saved[str(run_id)] | {
            "parent": 0
        }
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]


def test_what_the_api_shows_of_them(tmp_path: Path) -> None:
    """The API returns their outputs, parameters and repairs, and the run that a token started."""
    runs = runs_before(tmp_path)
    notebook, repaired = runs.find(NOTEBOOK)[0], runs.find(REPAIRED)[0]
    assert notebook.tasks[0].output.describe()["notebook_output"]["result"] == "hello you"
    assert repaired.describe()["job_parameters"] == [
        {"name": "env", "default": "databricks", "value": "test"}
    ]
    assert repaired.earlier[0].output.error == "The Python process ended with exit status 3."
    assert [one["type"] for one in [*repaired.history, repaired.describe_attempt()]] == ["ORIGINAL", "REPAIR"]
    first = runs.with_token(USER, "once")
    assert first
    assert first.run_id == SUBMITTED


def test_a_run_that_was_under_way(tmp_path: Path) -> None:
    """A run that was active has failed, with an end time that a second restart does not change."""
    run = runs_before(tmp_path).find(UNDER_WAY)[0]
    assert (run.state.life_cycle, run.tasks[0].state.life_cycle) == ("INTERNAL_ERROR", "INTERNAL_ERROR")
    saved = Store(tmp_path).table("runs").load(dict[str, Any])[UNDER_WAY]
    assert (saved["state"]["message"], saved["end"]) == ("The workspace was restarted.", run.end)
    assert Runs(Store(tmp_path)).find(UNDER_WAY)[0].end == run.end


def test_a_run_that_is_added_changed_and_removed(tmp_path: Path) -> None:
    """After a restart, each run is as it was last saved."""

    async def work() -> None:
        runs = Runs(Store(tmp_path))
        kept, removed = (Run(number, 1, "run", USER, "SUBMIT_RUN", {}, []) for number in (10, 11))
        await runs.add(kept)
        await runs.add(removed)
        kept.state = State("TERMINATED", "SUCCESS", "", "SUCCESS")
        await runs.save(kept)
        await runs.remove(removed)

    asyncio.run(work())
    (run,) = Runs(Store(tmp_path)).all()
    assert (run.run_id, run.state.result) == (10, "SUCCESS")
