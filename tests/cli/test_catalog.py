"""`kedro databricks catalog`: the path or table of each dataset in each env."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

_CATALOG = """\
_hidden: {anchor: 1}
raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv, credentials: shop}
"{name}.model": {type: pickle.PickleDataset, filepath: "data/06_models/{name}.pkl"}
orders: {type: databricks.ManagedTableDataset, catalog: main, database: shop, table: orders}
far: {type: json.JSONDataset, filepath: "ftp://me:hunter2@example.com/far.json"}
"""


def catalog(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a project."""
    command = [sys.executable, "-m", "kedro", "databricks", "catalog", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_each_dataset_and_where_it_points_in_each_env(tmp_path: Path) -> None:
    """Paths, patterns and tables in every env that has a databricks.yml, without any credentials."""
    project = make_project(tmp_path / "tiny").write(
        {
            "conf/base/catalog.yml": _CATALOG,
            "conf/local/credentials.yml": "shop: {password: hunter2}\n",
            "conf/databricks/databricks.yml": "data: {root: dbfs:/root/x}\n",
            "conf/prod/databricks.yml": "data: {root: /Volumes/main/shop/files}\n",
        }
    )
    done = catalog(project.path)
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()[-5:]]
    roots = ("data", "/dbfs/root/x", "/Volumes/main/shop/files")
    assert table == [
        ["dataset", "type", "local", "databricks", "prod"],
        ["raw", "pandas.CSVDataset", *(f"{root}/01_raw/raw.csv" for root in roots)],
        ["{name}.model", "pickle.PickleDataset", *(f"{root}/06_models/{{name}}.pkl" for root in roots)],
        ["orders", "databricks.ManagedTableDataset", *["main.shop.orders"] * 3],
        ["far", "json.JSONDataset", *["ftp://***@example.com/far.json"] * 3],
    ]
    assert "hunter2" not in done.stdout + done.stderr
    one = json.loads(catalog(project.path, "--json", "--env=prod").stdout.splitlines()[-1])
    assert one[0] == {
        "dataset": "raw",
        "type": "pandas.CSVDataset",
        "paths": {"prod": ["/Volumes/main/shop/files/01_raw/raw.csv"]},
    }


def test_a_catalog_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """The message names the env and the error."""
    project = make_project(tmp_path / "tiny").write({"conf/base/catalog.yml": "raw: ${globals:nowhere}\n"})
    done = catalog(project.path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert "The catalog of env local cannot be read" in line
    assert "Traceback" not in done.stderr
