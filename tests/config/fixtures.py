"""Fixtures: the conf folder of a small project, and its catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from tests.project_fixtures import clean_process, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DBFS = "data:\n  root: dbfs:/root/projects/{project}/data\n"
VOLUME = "data:\n  root: /Volumes/main/shop/files/{project}\n"
ON_DBFS = "dbfs:/root/projects/tiny-shop/data"
ON_FUSE = "/dbfs/root/projects/tiny-shop/data"


@pytest.fixture(autouse=True)
def clean_loader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove variables and state that a shell or an earlier test may have left."""
    yield from clean_process(monkeypatch)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The conf folder of an almost empty project called tiny_shop."""
    write_files(
        tmp_path,
        {
            "pyproject.toml": '[tool.kedro]\npackage_name = "tiny_shop"\n',
            "conf/base/": "",
            "conf/local/": "",
            "conf/databricks/databricks.yml": DBFS,
        },
    )
    return tmp_path / "conf"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process look like a Databricks driver."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")


def catalog_of(conf: Path, text: str, env: str = "databricks", **options: Any) -> dict[str, Any]:
    """Return the loader's catalog for a base catalog."""
    write_files(conf, {"base/catalog.yml": text})
    catalog: dict[str, Any] = DatabricksConfigLoader(conf, env, **options)["catalog"]
    return catalog


PANDAS = """\
    table:
      type: pandas.CSVDataset
      filepath: data/01_raw/table.csv
    """
