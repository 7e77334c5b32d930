"""The Spark session of a run by Databricks Connect: how it is created, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from kedro_databricks_hybrid.sandbox import connection
from tests.e2e.commands import Shell
from tests.project_fixtures import Project, make_project

PROFILE = "--profile=sandbox"
_NODES = """\
from kedro.pipeline import node, pipeline


def copy(raw):
    return raw


def register_pipelines():
    return {"__default__": pipeline([node(copy, "raw", "copied", name="copy")])}
"""
_CATALOG = """\
raw: {type: spark.SparkDatasetV2, file_format: csv, filepath: data/01_raw/raw.csv, load_args: {header: true}}
copied: {type: spark.SparkDatasetV2, filepath: data/02_intermediate/copied, save_args: {mode: overwrite}}
"""
_ASKS = """\
from kedro.framework.hooks import hook_impl


class Ask:
    @hook_impl
    def before_node_run(self):
        from databricks.connect import DatabricksSession
        from kedro_datasets._utils import spark_utils
        from pyspark.sql import SparkSession

        ways = [
            SparkSession.builder.getOrCreate, SparkSession.getActiveSession,
            DatabricksSession.builder.getOrCreate,
            spark_utils.get_spark, spark_utils.get_spark_with_remote_support,
        ]
        print("sessions:", len({id(way()) for way in ways}))
"""
_OPENS = """\
from pathlib import Path

from kedro.io import AbstractDataset


class Lines(AbstractDataset):
    def __init__(self, filepath):
        self._filepath = Path(filepath)

    def _load(self):
        return self._filepath.read_text()

    def _save(self, data):
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        self._filepath.write_text(str(data))

    def _describe(self):
        return {"filepath": str(self._filepath)}
"""
_STRANGER = """\
import os

from kedro.pipeline import node, pipeline


def copy(raw):
    from databricks.connect import DatabricksSession

    login = [os.environ[f"DATABRICKS_{name}"] for name in ("HOST", "TOKEN")]
    builder = DatabricksSession.builder.host(login[0]).token(login[1]).serverless()
    return {"part": builder.validateSession(False).getOrCreate().range(1)}


def register_pipelines():
    return {"__default__": pipeline([node(copy, "raw", "kept", name="copy")])}
"""


@pytest.fixture
def project(tmp_path: Path, sandbox_home: Path) -> tuple[Project, Shell]:
    """Create a project of Spark datasets with a volume as data root, and a shell in it."""
    made = make_project(tmp_path / "tiny").write(
        {
            "conf/base/catalog.yml": _CATALOG,
            "conf/databricks/databricks.yml": (
                "data: {root: /Volumes/main/default/data/tiny}\ncompute: {cluster: sandbox}\n"
            ),
            "src/tiny_shop/pipeline_registry.py": _NODES,
        }
    )
    raw = sandbox_home / "roots/Volumes/main/default/data/tiny/01_raw/raw.csv"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("a,b\n1,2\n")
    shell = Shell(made.path, sandbox_home)
    for command in ("git init -q -b main", "git add .", "git commit -q -m First"):
        shell.ok(command)
    return made, shell


def with_hook(project: Project, text: str, name: str) -> None:
    """Add a hook to the project."""
    project.write({"src/tiny_shop/hooks.py": text})
    settings = project.path / "src/tiny_shop/settings.py"
    settings.write_text(settings.read_text() + f"from tiny_shop.hooks import {name}\n\nHOOKS = ({name}(),)\n")


def test_whoever_asks_for_a_session_gets_the_runs_own(project: tuple[Project, Shell]) -> None:
    """However datasets and nodes get a session, it is the run's, also if the environment has a login."""
    made, shell = project
    with_hook(made, _ASKS, "Ask")
    running = connection.read(shell.home)
    assert running is not None
    ran = shell.ok("kedro run --env=databricks", DATABRICKS_HOST=running.host, DATABRICKS_TOKEN=running.token)
    assert "sessions: 1\n" in ran.out
    assert "Spark runs on the cluster sandbox" in ran.err


def test_a_machines_oauth_login_and_serverless_are_enough(project: tuple[Project, Shell]) -> None:
    """OAuth without a token, serverless compute, `{user}` in the data root, and versioned datasets work."""
    made, shell = project
    made.write(
        {
            "conf/base/catalog.yml": _CATALOG.replace(
                "{mode: overwrite}", "{mode: overwrite}, versioned: true"
            ),
            "conf/databricks/databricks.yml": (
                'data: {root: "/Volumes/main/default/data/{user}"}\ncompute: {cluster: serverless}\n'
            ),
        }
    )
    volume = shell.home / "roots/Volumes/main/default/data"
    shutil.copytree(volume / "tiny/01_raw", volume / "user@example.com/01_raw", dirs_exist_ok=True)
    running = connection.read(shell.home)
    assert running is not None
    login = {"DATABRICKS_CLIENT_ID": "user@example.com", "DATABRICKS_CLIENT_SECRET": running.token}
    ran = shell.ok("kedro run --env=databricks", DATABRICKS_HOST=running.host, **login)
    assert "Spark runs on serverless compute" in ran.err
    assert list((volume / "user@example.com/02_intermediate/copied").glob("*/copied/_SUCCESS"))


def test_without_clusters_spark_is_on_serverless_compute(project: tuple[Project, Shell]) -> None:
    """Without a visible cluster Spark runs on serverless compute, and the output says why."""
    made, shell = project
    made.write({"conf/databricks/databricks.yml": "data: {root: /Volumes/main/default/data/tiny}\n"})
    copied = shell.home / "roots/Volumes/main/default/data/tiny/02_intermediate/copied"
    shell.ok("kedro databricks sandbox switch --like=free-edition")
    try:
        for command in ("kedro run --env=databricks", f"kedro databricks run --connect {PROFILE}"):
            shutil.rmtree(copied, ignore_errors=True)
            ran = shell.ok(command, DATABRICKS_CONFIG_PROFILE="sandbox")
            assert "You can see no all-purpose cluster, so Spark runs on serverless compute." in ran.err
            assert "Spark runs on serverless compute of http://127.0.0.1" in ran.err
            assert len(pd.read_parquet(copied)) == 1
    finally:
        shell.ok("kedro databricks sandbox switch --like=guide")


def test_versions_on_dbfs_are_found_there(project: tuple[Project, Shell]) -> None:
    """The newest or the requested version is loaded from DBFS, and a new one is written there."""
    made, shell = project
    made.write(
        {
            "conf/base/catalog.yml": _CATALOG.replace(
                "{header: true}", "{header: true}, versioned: true"
            ).replace("{mode: overwrite}", "{mode: overwrite}, versioned: true"),
            "conf/databricks/databricks.yml": (
                "data: {root: dbfs:/root/versions/data}\ncompute: {cluster: sandbox}\n"
            ),
        }
    )
    data = shell.home / "roots/dbfs/root/versions/data"
    for version, rows in (("2025-01-01T00.00.00.000Z", "1,2\n"), ("2025-06-01T00.00.00.000Z", "1,2\n3,4\n")):
        file = data / "01_raw/raw.csv" / version / "raw.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"a,b\n{rows}")
    for option, count in (("", 2), (" --load-versions=raw:2025-01-01T00.00.00.000Z", 1)):
        ran = shell.ok(f"kedro databricks run --connect --env=databricks {PROFILE}{option}")
        assert "Spark runs on the cluster sandbox" in ran.err
        newest = max((data / "02_intermediate/copied").glob("*/copied"))
        assert len(pd.read_parquet(newest)) == count
    assert len(list((data / "02_intermediate/copied").iterdir())) == 2
    assert not list(made.path.rglob("dbfs:*"))


def test_a_dataset_that_opens_files_itself_is_refused(project: tuple[Project, Shell]) -> None:
    """A dataset that would create a local folder `dbfs:` is refused; the solution in the error works."""
    made, shell = project
    command = f"kedro databricks run --connect --env=databricks {PROFILE}"
    entry = "copied: {type: tiny_shop.datasets.Lines, filepath: %s}\n"
    catalog = _CATALOG.splitlines()[0] + "\n" + entry % "data/02_intermediate/copied.txt"
    made.write({"src/tiny_shop/datasets.py": _OPENS, "conf/base/catalog.yml": catalog})
    shell.fails(
        command,
        "Dataset copied would use a local folder called `dbfs:`: Lines opens ",
        "Use a dataset that opens files with fsspec, or a local path in the env's own catalog.",
    )
    assert not list(made.path.rglob("dbfs:*"))
    made.write({"conf/databricks/catalog.yml": entry % (made.path / "copied.txt")})
    shell.ok(command)
    assert (made.path / "copied.txt").read_text().startswith("DataFrame[a: string, b: string]")


def test_a_table_of_another_session_stops_the_run(project: tuple[Project, Shell]) -> None:
    """A node returns a table of its own session: the run fails, and the table is not written."""
    made, shell = project
    made.write({"src/tiny_shop/pipeline_registry.py": _STRANGER})
    running = connection.read(shell.home)
    assert running is not None
    shell.fails(
        "kedro run --env=databricks",
        "Dataset kept is a table of another Spark session (serverless compute of ",
        "this run's (cluster 0101-120000-sandbox1 of ",
        DATABRICKS_HOST=running.host,
        DATABRICKS_TOKEN=running.token,
    )


def test_what_cannot_work_is_one_line(project: tuple[Project, Shell]) -> None:
    """A client newer than the runtime, local data, and unsupported options: each is one error line."""
    made, shell = project
    made.write({"conf/old/databricks.yml": "data: {root: dbfs:/root/tiny}\n"})
    created = shell.client().clusters.create(spark_version="15.4.x-scala2.12", cluster_name="old")
    shell.fails(
        f"kedro databricks run --connect --env=old --cluster=old {PROFILE}",
        "newer than the cluster's Databricks Runtime 15.4",
        'pip install "databricks-connect==15.4.*"',
    )
    shell.client().clusters.permanent_delete(created.cluster_id)
    shell.fails(f"kedro databricks run --connect --env=local {PROFILE}", "are on this machine")
    refused = shell.run(f"kedro databricks run --connect --detach {PROFILE}")
    assert refused.status == 2
    assert "--connect runs the nodes on this machine and does not support --detach." in refused.err
