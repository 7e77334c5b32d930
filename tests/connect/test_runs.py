"""Runs by Databricks Connect write the same outputs as runs on the cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import spaceflights
from tests.e2e.commands import Shell
from tests.e2e.test_spaceflights import prepared
from tests.equal_outputs import assert_equal_outputs

PROFILE = "--profile=sandbox"


@pytest.fixture(scope="module")
def iris(sandbox_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Push the starter, and return its shell."""
    scratch = tmp_path_factory.mktemp("iris")
    Shell(scratch, sandbox_home).ok("kedro new --starter=pyspark-iris --name=iris")
    shell = Shell(scratch / "iris", sandbox_home)
    for command in (
        "git init -q -b main",
        f"git init -q --bare -b main {scratch}/iris.git",
        f"git remote add origin {scratch}/iris.git",
        "git add .",
        "git commit -q -m First",
        f"kedro databricks init {PROFILE}",
        "git add .",
        "git commit -q -m Prepared",
        f"kedro databricks push {PROFILE}",
    ):
        shell.ok(command)
    return shell


def data_there(home: Path, project: str) -> Path:
    """Return the folder of a project's data root on this machine."""
    return home / "roots" / "dbfs" / "root" / "projects" / project / "data"


def take_outputs(there: Path, scratch: Path) -> Path:
    """Move the outputs from a data root to a new folder, and return it."""
    scratch.mkdir()
    for layer in there.glob("0[2-8]_*"):
        shutil.move(layer, scratch / layer.name)
    return scratch


def test_the_starter_runs_and_writes_nothing_here(iris: Shell, sandbox_home: Path) -> None:
    """`kedro run` with a profile: the starter's outputs are on the cluster, and nothing is local."""
    ran = iris.ok("kedro run --env=databricks", DATABRICKS_CONFIG_PROFILE="sandbox")
    assert "Spark runs on the cluster sandbox of http://127.0.0.1" in ran.err
    assert "Model has accuracy of 0.960" in ran.out
    there = data_there(sandbox_home, "iris")
    assert {path.parent.name for path in there.glob("0[2-8]_*/*")} == {
        "05_model_input", "07_model_output", "08_reporting"
    }  # fmt: skip
    assert not list(iris.folder.glob("dbfs:*"))
    assert [path.name for path in iris.folder.glob("data/05_model_input/*")] == [".gitkeep"]


def test_functions_of_the_project_run_in_spark(iris: Shell) -> None:
    """The distributed pipeline runs a function of the project in Spark on the cluster."""
    command = f"kedro databricks run --connect --pipelines=distributed {PROFILE}"
    assert "Model has accuracy of 0.960" in iris.ok(command).out


def test_spaceflights_runs_to_the_same_outputs_as_on_the_cluster(sandbox_home: Path, tmp_path: Path) -> None:
    """Spaceflights gives the same outputs, with a secret, and with one dataset that stays local."""
    shell = prepared(spaceflights.copy_to(tmp_path / "flights"), sandbox_home)
    shell.ok(f"kedro databricks push --all-data {PROFILE}")
    shell.ok(f"kedro databricks run {PROFILE}")
    there = data_there(sandbox_home, "spaceflights")
    on_cluster = take_outputs(there, tmp_path / "on_cluster")
    reviews = shell.folder / "data/01_raw/reviews.csv"
    (shell.folder / "conf/databricks/catalog.yml").write_text(
        "reviews:\n  type: spaceflights.datasets.SignedCSVDataset\n"
        f"  filepath: {reviews}\n  credentials: reviews_signature\n"
    )
    ran = shell.ok(
        f"kedro databricks run --connect {PROFILE}", DATABRICKS_SECRET_FLIGHTS_KEY=spaceflights.KEY
    )
    assert "Completed 11 out of 11 tasks" in ran.out
    assert_equal_outputs(there, on_cluster)
