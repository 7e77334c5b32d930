"""The tutorial with default answers, on a sandbox that is like Free Edition."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import TUTORIAL, perform, steps
from tests.e2e.commands import Shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

ROOT = "/Volumes/workspace/default/iris-databricks"
ON_FREE_EDITION = {
    "kedro databricks sandbox start": "kedro databricks sandbox start --like=free-edition",
    "kedro databricks init": "kedro databricks init --yes",  # a person presses Enter
}
LATER_RUN = "kedro databricks run"
"""The run of the changed project, left out here: `make demo` runs it on such a workspace."""


def test_the_tutorial_on_free_edition(tmp_path: Path) -> None:
    """Perform the tutorial, with serverless compute, a volume and a home folder; every command succeeds."""
    shell = Shell(tmp_path, tmp_path / "home")
    printed: dict[str, list[str]] = defaultdict(list)
    *before, last = steps(TUTORIAL.read_text("utf-8"))
    try:
        for step in [each for each in before if each.text != LATER_RUN]:
            there = replace(step, text=ON_FREE_EDITION.get(step.text, step.text))
            printed[step.text].append("\n".join(perform(there, shell)))
    finally:
        perform(last, shell)
    assert printed.keys() >= ON_FREE_EDITION.keys()
    [prepared] = printed["kedro databricks init"]
    assert "Created the volume workspace.default.iris-databricks" in prepared
    assert "/Workspace/Users/user@example.com/iris-databricks from" in prepared
    [examined] = printed["kedro databricks doctor"]
    assert {line.split()[0] for line in examined.splitlines()} <= {"green", "yellow"}
    assert "green  Spark code" in examined
    assert f"to {ROOT};" in printed["kedro databricks push"][0]
    [ran] = printed["kedro databricks run --env=databricks"]
    assert "You can see no all-purpose cluster, so this runs on serverless compute, as a job." in ran
    assert "Model has accuracy of 0.960 on test data." in ran
    assert "Completed 3 out of 3 tasks" in ran
    for name in ("pyspark.enabled", "maxRecordsPerBatch"):  # few can be set on serverless compute
        assert f"Spark refuses the setting spark.sql.execution.arrow.{name}" in " ".join(ran.split())
    metrics = json.loads((shell.folder / "data/08_reporting/metrics.json").read_text())
    assert metrics["accuracy"] == pytest.approx(0.96)
