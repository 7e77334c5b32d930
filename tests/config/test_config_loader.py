"""The catalog of an env with a data root: which paths are mapped, and how."""

from __future__ import annotations

import pickle
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedro_databricks_hybrid.config import catalog_paths
from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from kedro_databricks_hybrid.spark import session as spark_session
from tests.config.fixtures import (
    DBFS,
    ON_DBFS,
    ON_FUSE,
    PANDAS,
    VOLUME,
    catalog_of,
    clean_loader,
    cluster,
    conf,
)
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["clean_loader", "cluster", "conf"]

pytestmark = pytest.mark.filterwarnings("ignore:\\s*register_new_resolver")


def test_pandas_paths_point_at_the_dbfs_mount(conf: Path) -> None:
    """Pandas opens files, which DBFS has under /dbfs."""
    assert catalog_of(conf, PANDAS)["table"]["filepath"] == f"{ON_FUSE}/01_raw/table.csv"


@pytest.mark.parametrize(
    "kind",
    [
        "spark.SparkDataset",
        "spark.SparkDatasetV2",
        "kedro_datasets.spark.SparkDatasetV2",
        "spark.DeltaTableDataset",
        "tiny_shop.io.MySparkTable",
    ],
)
def test_spark_paths_point_at_dbfs(conf: Path, kind: str) -> None:
    """Spark would read /dbfs/x as dbfs:/dbfs/x, so it gets the URL."""
    text = f"table: {{type: {kind}, filepath: data/01_raw/table.parquet}}"
    assert catalog_of(conf, text)["table"]["filepath"] == f"{ON_DBFS}/01_raw/table.parquet"


@pytest.mark.parametrize("kind", ["pandas.CSVDataset", "spark.SparkDatasetV2"])
def test_a_volume_is_one_path_for_every_kind(conf: Path, kind: str) -> None:
    """Spark and open() can both read /Volumes."""
    write_files(conf, {"databricks/databricks.yml": VOLUME})
    text = f"table: {{type: {kind}, filepath: data/t}}"
    assert catalog_of(conf, text)["table"]["filepath"] == "/Volumes/main/shop/files/tiny-shop/t"


def test_other_envs_stay_local(conf: Path) -> None:
    """An env without its own data root is not mapped, even if the base sets one."""
    write_files(conf, {"base/databricks.yml": DBFS})
    assert catalog_of(conf, PANDAS, env="local")["table"]["filepath"] == "data/01_raw/table.csv"
    assert catalog_of(conf, PANDAS, env="base")["table"]["filepath"] == "data/01_raw/table.csv"


@pytest.mark.parametrize(
    "path",
    [
        "/data/01_raw/table.csv",
        "s3://bucket/data/table.csv",
        "https://example.com/data/table.csv",
        "dbfs:/data/table.csv",
        "/Volumes/a/b/c/data/table.csv",
        "C:/data/table.csv",
        "database/table.csv",
        "logs/data/table.csv",
        "data/../secrets.csv",
    ],
)
def test_paths_outside_of_the_data_folder_stay(conf: Path, path: str) -> None:
    """Only paths in the folder that push uploads are mapped."""
    text = f"table: {{type: pandas.CSVDataset, filepath: '{path}'}}"
    assert catalog_of(conf, text)["table"]["filepath"] == path


def test_the_local_folder_is_a_setting(conf: Path) -> None:
    """data.local moves the folder that is mapped."""
    write_files(conf, {"base/databricks.yml": "data:\n  local: ./files/mine/\n"})
    catalog = catalog_of(
        conf,
        """\
        inside: {type: pandas.CSVDataset, filepath: files/mine/a.csv}
        outside: {type: pandas.CSVDataset, filepath: data/a.csv}
        """,
    )
    assert [each["filepath"] for each in catalog.values()] == [f"{ON_FUSE}/a.csv", "data/a.csv"]


def test_factories_keep_their_placeholders(conf: Path) -> None:
    """A dataset factory is mapped before Kedro replaces its placeholders."""
    text = '"{name}_csv": {type: pandas.CSVDataset, filepath: "data/01_raw/{name}.csv"}'
    assert catalog_of(conf, text)["{name}_csv"]["filepath"] == f"{ON_FUSE}/01_raw/{{name}}.csv"


def test_partitions_are_listed_as_files_whatever_is_in_them(conf: Path) -> None:
    """PartitionedDataset lists its folder with fsspec, also for Spark."""
    catalog = catalog_of(
        conf,
        """\
        parts:
          type: partitions.PartitionedDataset
          path: data/parts/
          dataset: {type: spark.SparkDatasetV2, file_format: csv}
        """,
    )
    assert catalog["parts"]["path"] == f"{ON_FUSE}/parts/"


def test_a_cached_dataset_is_mapped_for_what_it_caches(conf: Path) -> None:
    """The dataset that has the path decides on its form."""
    catalog = catalog_of(
        conf,
        """\
        cached:
          type: CachedDataset
          dataset: {type: spark.SparkDatasetV2, filepath: data/c}
        """,
    )
    assert catalog["cached"]["dataset"]["filepath"] == f"{ON_DBFS}/c"


@pytest.mark.usefixtures("cluster")
def test_versions_of_a_spark_dataset_are_listed_through_the_mount(conf: Path) -> None:
    """kedro-datasets lists versions with dbutils only if the path starts with /dbfs."""
    text = "table: {type: spark.SparkDataset, versioned: true, filepath: data/t}"
    assert catalog_of(conf, text)["table"]["filepath"] == f"{ON_FUSE}/t"


def test_no_session_is_needed_to_describe_versions_from_here(conf: Path) -> None:
    """SparkDataset starts Spark for a /dbfs path when it is created, so off a cluster it gets the URL."""
    text = "table: {type: spark.SparkDataset, versioned: true, filepath: data/t}"
    assert catalog_of(conf, text)["table"]["filepath"] == f"{ON_DBFS}/t"


SCHEMA = """\
    table:
      type: spark.SparkDatasetV2
      filepath: data/t
      load_args: {schema: {filepath: data/schema.json}}
    """


@pytest.mark.usefixtures("cluster")
def test_the_schema_of_a_spark_dataset_is_a_file_on_the_cluster(conf: Path) -> None:
    """kedro-datasets opens the schema with fsspec, for which dbfs:/ is a local folder."""
    schema = catalog_of(conf, SCHEMA)["table"]["load_args"]["schema"]
    assert schema == {"filepath": f"{ON_FUSE}/schema.json"}


def test_the_schema_of_a_spark_dataset_is_a_file_here(conf: Path) -> None:
    """The schema is opened when the dataset is created, so off a cluster the path stays local."""
    assert catalog_of(conf, SCHEMA)["table"]["load_args"]["schema"] == {"filepath": "data/schema.json"}


def test_what_the_envs_own_catalog_says_stays(conf: Path) -> None:
    """The env's own catalog entries are not mapped."""
    write_files(conf, {"databricks/catalog.yml": "table: {type: pandas.CSVDataset, filepath: data/own.csv}"})
    catalog = catalog_of(
        conf,
        """\
        table: {type: pandas.CSVDataset, filepath: data/t.csv}
        other: {type: pandas.CSVDataset, filepath: data/o.csv}
        """,
    )
    assert catalog["table"]["filepath"] == "data/own.csv"
    assert catalog["other"]["filepath"] == f"{ON_FUSE}/o.csv"


def test_a_soft_merge_keeps_the_envs_values_and_maps_the_bases(conf: Path) -> None:
    """With merge_strategy soft, an env can change one argument and inherit the mapped path."""
    write_files(
        conf,
        {
            "databricks/catalog.yml": """\
                table: {load_args: {sep: ";"}}
                fixed: {filepath: data/fixed.csv}
                """
        },
    )
    catalog = catalog_of(
        conf,
        """\
        table: {type: pandas.CSVDataset, filepath: data/t.csv}
        fixed: {type: pandas.CSVDataset, filepath: data/f.csv}
        """,
        merge_strategy={"catalog": "soft"},
    )
    assert catalog["table"]["filepath"] == f"{ON_FUSE}/t.csv"
    assert catalog["table"]["load_args"] == {"sep": ";"}
    assert catalog["fixed"]["filepath"] == "data/fixed.csv"


def test_a_catalog_that_was_set_by_hand_stays(conf: Path) -> None:
    """loader["catalog"] = ... bypasses the files, and the mapping too."""
    loader = DatabricksConfigLoader(conf, "databricks")
    loader["catalog"] = {"a": {"type": "pandas.CSVDataset", "filepath": "data/a.csv"}}
    assert loader["catalog"]["a"]["filepath"] == "data/a.csv"


def test_reading_twice_gives_the_same(conf: Path) -> None:
    """Kedro reads the catalog again each time and changes the paths in place."""
    write_files(conf, {"base/catalog.yml": PANDAS})
    loader = DatabricksConfigLoader(conf, "databricks")
    first = loader["catalog"]
    first["table"]["filepath"] = "changed by Kedro"
    assert loader["catalog"]["table"]["filepath"] == f"{ON_FUSE}/01_raw/table.csv"


def test_a_loader_survives_pickling(conf: Path) -> None:
    """Runners with other processes pickle the loader."""
    write_files(conf, {"base/catalog.yml": PANDAS})
    loader = DatabricksConfigLoader(conf, "databricks", {"a": 1})
    again = pickle.loads(pickle.dumps(loader))  # noqa: S301
    assert again["catalog"] == loader["catalog"]
    assert again.runtime_params == {"a": 1}


def test_an_archive_has_settings_too(conf: Path, tmp_path: Path) -> None:
    """--conf-source may be the archive that `kedro package` makes."""
    write_files(conf, {"base/catalog.yml": PANDAS})
    archive = tmp_path / "conf-tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(conf, arcname="conf")
    loader = DatabricksConfigLoader(str(archive), "databricks")
    assert loader["catalog"]["table"]["filepath"] == f"{ON_FUSE}/01_raw/table.csv"


NAMES = st.text(st.characters(blacklist_characters="/\\:", blacklist_categories=("Cs", "Cc")), min_size=1)


@given(st.lists(NAMES.filter(lambda each: each not in {".", ".."}), min_size=1, max_size=4), st.booleans())
def test_mapping_keeps_what_follows_the_folder_and_does_nothing_twice(parts: list[str], spark: bool) -> None:
    """Names below the data folder are the same on Databricks, and mapped paths are not mapped again."""
    below = "/".join(parts)
    roots = catalog_paths.Roots("data", "dbfs:/r/data", "cluster")
    kind = "spark.SparkDatasetV2" if spark else "pandas.CSVDataset"
    catalog = {"a": {"type": kind, "filepath": f"data/{below}"}}
    once = catalog_paths.mapped(catalog, roots, kept=frozenset())
    assert once["a"]["filepath"] == ("dbfs:/r/data/" if spark else "/dbfs/r/data/") + below
    assert catalog_paths.mapped(once, roots, kept=frozenset()) == once
    assert catalog["a"]["filepath"] == f"data/{below}"


@pytest.mark.parametrize(
    ("spark", "path", "opened"),
    [
        ("connect", "data/01_raw/t.csv", "dbfs:///r/data/01_raw/t.csv"),
        ("connect", "/Volumes/main/shop/files/t.csv", "dbfs:///Volumes/main/shop/files/t.csv"),
        ("connect", "dbfs:/r/t.csv", "dbfs:///r/t.csv"),
        ("connect", "/dbfs/r/t.csv", "dbfs:///r/t.csv"),
        ("connect", "/home/me/t.csv", "/home/me/t.csv"),
        ("cluster", "dbfs:/r/t.csv", "/dbfs/r/t.csv"),
        ("cluster", "dbfs:/Volumes/main/shop/files/t.csv", "/Volumes/main/shop/files/t.csv"),
        ("local", "/Volumes/main/shop/files/t.csv", "/Volumes/main/shop/files/t.csv"),
    ],
)
def test_files_can_be_opened(spark: spark_session.SparkLocation, path: str, opened: str) -> None:
    """On a cluster through its mounts, with Databricks Connect through the API; also the env's own paths."""
    roots = catalog_paths.Roots("data", "dbfs:/r/data", spark)
    catalog = {"a": {"type": "pandas.CSVDataset", "filepath": path}}
    kept = frozenset() if path.startswith("data") else frozenset({("a",)})
    assert catalog_paths.mapped(catalog, roots, kept=kept)["a"]["filepath"] == opened


_OTHER_KEYS = """\
table:
  type: ibis.TableDataset
  connection: {backend: duckdb, database: data/shop.db}
  metadata: {file: data/readme.txt}
  sheet_name: data/2024
query:
  type: pandas.SQLQueryDataset
  sql: select 1 from data/x
  con: sqlite:///data/shop.db?timeout=3
  paths: [data/a.csv, other/b.csv]
stream:
  type: spark.SparkStreamingDataset
  filepath: data/stream
  save_args: {checkpointLocation: data/checkpoints, path_type: data}
"""


@pytest.mark.parametrize("spark", ["local", "cluster"])
def test_paths_under_other_keys(
    conf: Path, monkeypatch: pytest.MonkeyPatch, spark: spark_session.SparkLocation
) -> None:
    """Keys whose names say that they take a path, and the files of databases; nothing else."""
    monkeypatch.setattr("kedro_databricks_hybrid.config_loader.spark_location", lambda: spark)
    catalog = catalog_of(conf, _OTHER_KEYS)
    assert catalog["table"] == {
        "type": "ibis.TableDataset",
        "connection": {"backend": "duckdb", "database": f"{ON_FUSE}/shop.db"},
        "metadata": {"file": "data/readme.txt"},
        "sheet_name": "data/2024",
    }
    assert catalog["query"]["con"] == f"sqlite:///{ON_FUSE}/shop.db?timeout=3"
    assert catalog["query"]["sql"] == "select 1 from data/x"
    assert catalog["query"]["paths"] == [f"{ON_FUSE}/a.csv", "other/b.csv"]
    assert catalog["stream"]["save_args"] == {
        "checkpointLocation": f"{ON_DBFS}/checkpoints",
        "path_type": "data",
    }


def test_a_database_is_no_file_that_is_opened_from_here(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Databricks Connect, only datasets that use fsspec and Spark reach the data root."""
    monkeypatch.setattr("kedro_databricks_hybrid.config_loader.spark_location", lambda: "connect")
    catalog = catalog_of(conf, _OTHER_KEYS)
    assert catalog["query"]["con"] == "sqlite:///data/shop.db?timeout=3"
    assert catalog["stream"]["save_args"]["checkpointLocation"] == f"{ON_DBFS}/checkpoints"


def test_what_stays_in_the_project_is_found(conf: Path) -> None:
    """Values below the data folder that are not mapped, and outputs anywhere in the project."""
    text = f"{_OTHER_KEYS}out: {{type: pandas.CSVDataset, filepath: output/x.csv}}\n"
    local = catalog_of(conf, text, env="local")
    mapped = catalog_of(conf, text)
    found = catalog_paths.unmapped(local, mapped, "data", {"out"})
    assert found == [
        ("table", "sheet_name", "data/2024"),
        ("out", "filepath", "output/x.csv"),
    ]
