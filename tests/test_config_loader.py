"""The catalog of an env with a data root, the env on a cluster, and the resolvers."""

from __future__ import annotations

import pickle
import sys
import tarfile
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.config import MissingConfigException

from kedro_databricks_hybrid import catalog_paths
from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from kedro_databricks_hybrid.errors import SettingsError
from tests.project_fixtures import clean_process, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:\\s*register_new_resolver")

DBFS = "data:\n  root: dbfs:/root/projects/{project}/data\n"
VOLUME = "data:\n  root: /Volumes/main/shop/files/{project}\n"
ON_DBFS = "dbfs:/root/projects/tiny-shop/data"
ON_FUSE = "/dbfs/root/projects/tiny-shop/data"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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
    """Return what the loader makes of a base catalog."""
    write_files(conf, {"base/catalog.yml": text})
    return DatabricksConfigLoader(conf, env, **options)["catalog"]


PANDAS = """\
    table:
      type: pandas.CSVDataset
      filepath: data/01_raw/table.csv
    """


def test_pandas_paths_point_at_the_dbfs_mount(conf: Path) -> None:
    """Pandas opens files, and DBFS has those under /dbfs."""
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
    """Spark would take /dbfs/x for dbfs:/dbfs/x, so it gets the URL."""
    text = f"table: {{type: {kind}, filepath: data/01_raw/table.parquet}}"
    assert catalog_of(conf, text)["table"]["filepath"] == f"{ON_DBFS}/01_raw/table.parquet"


@pytest.mark.parametrize("kind", ["pandas.CSVDataset", "spark.SparkDatasetV2"])
def test_a_volume_is_one_path_for_every_kind(conf: Path, kind: str) -> None:
    """Spark and open() both take /Volumes."""
    write_files(conf, {"databricks/databricks.yml": VOLUME})
    text = f"table: {{type: {kind}, filepath: data/t}}"
    assert catalog_of(conf, text)["table"]["filepath"] == "/Volumes/main/shop/files/tiny-shop/t"


def test_other_envs_stay_local(conf: Path) -> None:
    """An env without a data root of its own is Kedro as ever, whatever the base says."""
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
    """Only what push would upload is taken to be there."""
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
    """A dataset factory is mapped before Kedro fills it in."""
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
    """The kind is that of the dataset which holds the path."""
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
    """kedro-datasets ask dbutils for versions only where the path starts with /dbfs."""
    text = "table: {type: spark.SparkDataset, versioned: true, filepath: data/t}"
    assert catalog_of(conf, text)["table"]["filepath"] == f"{ON_FUSE}/t"


def test_no_session_is_needed_to_describe_versions_from_here(conf: Path) -> None:
    """SparkDataset starts Spark for a /dbfs path as soon as it is made, so it gets none off a cluster."""
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
    """kedro-datasets open the schema with fsspec, for which dbfs:/ is a local folder of that name."""
    schema = catalog_of(conf, SCHEMA)["table"]["load_args"]["schema"]
    assert schema == {"filepath": f"{ON_FUSE}/schema.json"}


def test_the_schema_of_a_spark_dataset_is_a_file_here(conf: Path) -> None:
    """The schema is opened by the driver as soon as the dataset is made, so here it must be here."""
    assert catalog_of(conf, SCHEMA)["table"]["load_args"]["schema"] == {"filepath": "data/schema.json"}


def test_what_the_envs_own_catalog_says_stays(conf: Path) -> None:
    """Whoever writes an entry for the env means it."""
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
    """With merge_strategy soft an env may change one argument and inherit the path."""
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
    """loader["catalog"] = ... bypasses files in Kedro, and mapping here."""
    loader = DatabricksConfigLoader(conf, "databricks")
    loader["catalog"] = {"a": {"type": "pandas.CSVDataset", "filepath": "data/a.csv"}}
    assert loader["catalog"]["a"]["filepath"] == "data/a.csv"


def test_reading_twice_gives_the_same(conf: Path) -> None:
    """Kedro reads the catalog anew each time and makes its paths absolute in place."""
    write_files(conf, {"base/catalog.yml": PANDAS})
    loader = DatabricksConfigLoader(conf, "databricks")
    first = loader["catalog"]
    first["table"]["filepath"] = "changed by Kedro"
    assert loader["catalog"]["table"]["filepath"] == f"{ON_FUSE}/01_raw/table.csv"


def test_a_loader_survives_pickling(conf: Path) -> None:
    """Runners of other processes get the context's parts by pickle."""
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


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    """What a driver does without being told an env."""

    def test_the_env_is_databricks(self, conf: Path) -> None:
        """%reload_kedro without --env means the env that was made for it."""
        assert DatabricksConfigLoader(conf, base_env="base", default_run_env="local").env == "databricks"

    def test_kedro_env_wins(self, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """KEDRO_ENV is how a cluster is given another env."""
        monkeypatch.setenv("KEDRO_ENV", "local")
        assert DatabricksConfigLoader(conf).run_env == "local"

    def test_a_given_env_wins(self, conf: Path) -> None:
        """--env is above all."""
        assert DatabricksConfigLoader(conf, "local").run_env == "local"

    def test_a_default_env_of_the_projects_own_wins(self, conf: Path) -> None:
        """A project that changed default_run_env meant it."""
        assert DatabricksConfigLoader(conf, default_run_env="prod").run_env == "prod"

    def test_a_missing_local_env_is_no_error(self, conf: Path) -> None:
        """Git does not carry an empty conf/local to the cluster."""
        (conf / "local").rmdir()
        (conf / "databricks" / "databricks.yml").unlink()
        (conf / "databricks").rmdir()
        write_files(conf, {"base/catalog.yml": PANDAS})
        assert DatabricksConfigLoader(conf)["catalog"]["table"]["filepath"] == "data/01_raw/table.csv"

    def test_a_missing_env_that_was_asked_for_is_an_error(self, conf: Path) -> None:
        """Only the local env may be missing."""
        write_files(conf, {"base/catalog.yml": PANDAS})
        with pytest.raises(MissingConfigException, match="prod"):
            DatabricksConfigLoader(conf, "prod")["catalog"]


def test_off_a_cluster_the_env_is_kedros(conf: Path) -> None:
    """A laptop runs locally unless it is told otherwise."""
    assert DatabricksConfigLoader(conf).run_env == "local"


def test_a_missing_local_env_is_kedros_error_off_a_cluster(conf: Path) -> None:
    """Off a cluster nothing about envs is different from Kedro."""
    (conf / "local").rmdir()
    with pytest.raises(MissingConfigException, match="local"):
        DatabricksConfigLoader(conf)["catalog"]


def test_the_user_comes_from_the_environment(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kedro databricks run` tells the driver whose run it is."""
    monkeypatch.setenv("KEDRO_DATABRICKS_USER", "ada@example.com")
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/{project}'}"})
    catalog = catalog_of(conf, PANDAS)
    assert catalog["table"]["filepath"] == "/dbfs/Users/ada@example.com/tiny-shop/01_raw/table.csv"


def test_an_unknown_user_still_gives_a_catalog_to_look_at(conf: Path) -> None:
    """`kedro catalog` on a laptop needs no login; nothing can run against these paths from there."""
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/x'}"})
    assert catalog_of(conf, PANDAS)["table"]["filepath"] == "/dbfs/Users/{user}/x/01_raw/table.csv"


RESOLVED = """\
    root: ${databricks.data_root:}
    env: ${databricks.env:}
    user: ${databricks.user:}
    branch: ${databricks.branch:}
    """


def test_resolvers_give_what_the_run_knows(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters can name the data root, env, user and branch."""
    monkeypatch.setenv("KEDRO_DATABRICKS_USER", "ada")
    monkeypatch.setenv("KEDRO_DATABRICKS_BRANCH", "feat/x")
    write_files(conf, {"base/parameters.yml": RESOLVED})
    assert DatabricksConfigLoader(conf, "databricks")["parameters"] == {
        "root": ON_DBFS,
        "env": "databricks",
        "user": "ada",
        "branch": "feat/x",
    }


def test_the_data_root_of_a_local_env_is_the_local_folder(conf: Path) -> None:
    """One parameter file serves both worlds."""
    write_files(conf, {"base/parameters.yml": "root: ${databricks.data_root:}/models"})
    assert DatabricksConfigLoader(conf, "local")["parameters"] == {"root": "data/models"}


def test_two_loaders_do_not_share_resolvers(conf: Path) -> None:
    """OmegaConf's resolvers are global; each loader sees its own values all the same."""
    write_files(conf, {"base/parameters.yml": "env: ${databricks.env:}\nown: ${own:}"})
    local = DatabricksConfigLoader(conf, "local", custom_resolvers={"own": lambda: 1})
    remote = DatabricksConfigLoader(conf, "databricks", custom_resolvers={"own": lambda: 2})
    assert remote["parameters"] == {"env": "databricks", "own": 2}
    assert local["parameters"] == {"env": "local", "own": 1}


def test_an_unknown_user_is_an_error_in_a_resolver(conf: Path) -> None:
    """A parameter cannot be left open; the error says how to give it a value."""
    write_files(conf, {"base/parameters.yml": "user: ${databricks.user:}"})
    with pytest.raises(Exception, match="KEDRO_DATABRICKS_USER"):
        DatabricksConfigLoader(conf)["parameters"]


SECRET = "${databricks.secret:my-scope,api.key}"


def test_a_secret_comes_from_the_environment_here(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs a workspace to develop with a secret."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "hush")
    write_files(conf, {"local/credentials.yml": f"db: {{password: '{SECRET}'}}"})
    loader = DatabricksConfigLoader(conf)
    assert loader["credentials"] == {"db": {"password": "hush"}}
    assert "hush" not in repr(loader)


@pytest.mark.usefixtures("cluster")
def test_a_secret_comes_from_dbutils_on_a_cluster(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver reads secrets with the dbutils of its notebook shell, not from the environment."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "not this")
    _with_dbutils(monkeypatch, lambda scope, key: f"{scope}/{key}")
    write_files(conf, {"base/credentials.yml": f"password: '{SECRET}'"})
    assert DatabricksConfigLoader(conf)["credentials"] == {"password": "my-scope/api.key"}


@pytest.mark.usefixtures("cluster")
def test_a_secret_that_cannot_be_read_is_named_without_its_value(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Java's side says may hold anything, so only its kind is passed on."""

    def refuse(scope: str, key: str) -> str:
        raise RuntimeError("value was hush")

    _with_dbutils(monkeypatch, refuse)
    write_files(conf, {"base/credentials.yml": f"password: '{SECRET}'"})
    with pytest.raises(Exception, match=r"Secret api\.key of scope my-scope") as caught:
        DatabricksConfigLoader(conf)["credentials"]
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["catalog", "parameters", "globals"])
def test_a_secret_is_refused_where_kedro_prints(
    conf: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """`kedro catalog` and experiment trackers show these."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "hush")
    write_files(conf, {f"base/{key}.yml": f"a: {{b: '{SECRET}'}}"})
    with pytest.raises(Exception, match=r"credentials\.yml") as caught:
        DatabricksConfigLoader(conf)[key]
    assert "hush" not in str(caught.value)


def test_a_broken_databricks_yml_is_reported(conf: Path) -> None:
    """A typo must not silently leave the catalog local."""
    write_files(conf, {"databricks/databricks.yml": "data: {rot: dbfs:/x}"})
    with pytest.raises(SettingsError, match=r"Did you mean data\.root"):
        catalog_of(conf, PANDAS)


def _with_dbutils(monkeypatch: pytest.MonkeyPatch, get: Callable[[str, str], str]) -> None:
    """Give this process an IPython whose shell has a dbutils, as a driver's has."""
    dbutils = types.SimpleNamespace(secrets=types.SimpleNamespace(get=get))
    shell = types.SimpleNamespace(user_ns={"dbutils": dbutils})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]


NAMES = st.text(st.characters(blacklist_characters="/\\:", blacklist_categories=("Cs", "Cc")), min_size=1)


@given(st.lists(NAMES.filter(lambda each: each not in {".", ".."}), min_size=1, max_size=4), st.booleans())
def test_mapping_keeps_what_follows_the_folder_and_does_nothing_twice(parts: list[str], spark: bool) -> None:
    """Whatever the names below the data folder, they are the same on Databricks."""
    below = "/".join(parts)
    roots = catalog_paths.Roots("data", "dbfs:/r/data", "cluster")
    kind = "spark.SparkDatasetV2" if spark else "pandas.CSVDataset"
    catalog = {"a": {"type": kind, "filepath": f"data/{below}"}}
    once = catalog_paths.mapped(catalog, roots, kept=frozenset())
    assert once["a"]["filepath"] == ("dbfs:/r/data/" if spark else "/dbfs/r/data/") + below
    assert catalog_paths.mapped(once, roots, kept=frozenset()) == once
    assert catalog["a"]["filepath"] == f"data/{below}"
