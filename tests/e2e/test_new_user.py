"""A new user on a workspace like Free Edition, with the defaults: from `kedro new` to the second run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo import guide_edit
from tests.e2e.commands import Shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
RUN = f"kedro databricks run {PROFILE}"
ROOT = "/Volumes/workspace/default/iris-databricks"


def test_the_defaults_lead_to_a_run(tmp_path: Path) -> None:
    """With --profile and --yes only: serverless compute, a volume, the home folder; then the guide's edit."""
    home = tmp_path / "home"
    Shell(tmp_path, home).ok("kedro new --starter=pyspark-iris --name=iris-databricks")
    shell = Shell(tmp_path / "iris-databricks", home)
    shell.ok("kedro databricks sandbox start --like=free-edition")
    try:
        shell.ok("git init -q -b main")
        shell.ok("git add .")
        shell.ok("git commit -q -m First")
        shell.ok(f"git init -q --bare -b main {tmp_path / 'remote.git'}")
        shell.ok(f"git remote add origin {tmp_path / 'remote.git'}")
        prepared = shell.ok(f"kedro databricks init --yes {PROFILE}").out
        assert "Created the volume workspace.default.iris-databricks" in prepared
        assert "/Workspace/Users/user@example.com/iris-databricks from" in prepared
        shell.ok("git add -A")
        shell.ok("git commit -q -m Prepared")
        assert f"to {ROOT};" in shell.ok(f"kedro databricks push {PROFILE}").out
        ran = shell.ok(RUN).out
        assert "You can see no all-purpose cluster, so this runs on serverless compute, as a job." in ran
        assert "Model has accuracy of 0.960 on test data." in ran
        assert "Completed 3 out of 3 tasks" in ran
        for name in ("pyspark.enabled", "maxRecordsPerBatch"):  # few can be set on serverless compute
            assert f"Spark refuses the setting spark.sql.execution.arrow.{name}" in " ".join(ran.split())
        shell.ok("git switch -q -c feat/modified-classifier")
        guide_edit.apply(shell.folder / "src" / "iris_databricks" / "nodes.py")
        shell.ok("git commit -q -a -m Modify")
        shell.ok(f"kedro databricks push {PROFILE}")
        again = shell.ok(RUN).out
        assert "Model has accuracy of 1.000 on test data." in again
        shell.ok(f"kedro databricks pull --data {PROFILE}")
        metrics = json.loads((shell.folder / "data/08_reporting/metrics.json").read_text())
        assert metrics["accuracy"] == pytest.approx(1)
    finally:
        shell.ok("kedro databricks sandbox stop")
