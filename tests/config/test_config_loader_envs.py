"""The env, user, branch and project that the loader uses, on a cluster and elsewhere."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import fsspec
import pytest
from kedro.config import MissingConfigException

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from kedro_databricks_hybrid.errors import SettingsError
from tests.config.fixtures import PANDAS, VOLUME, catalog_of, clean_loader, cluster, conf
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["clean_loader", "cluster", "conf"]

pytestmark = pytest.mark.filterwarnings("ignore:\\s*register_new_resolver")


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    """The env on a driver."""

    def test_the_env_is_databricks(self, conf: Path) -> None:
        """%reload_kedro without --env uses the env `databricks`."""
        assert DatabricksConfigLoader(conf, base_env="base", default_run_env="local").env == "databricks"

    def test_kedro_env_wins(self, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """KEDRO_ENV selects another env."""
        monkeypatch.setenv("KEDRO_ENV", "local")
        assert DatabricksConfigLoader(conf).run_env == "local"

    def test_a_given_env_wins(self, conf: Path) -> None:
        """--env overrides every default."""
        assert DatabricksConfigLoader(conf, "local").run_env == "local"

    def test_a_default_env_of_the_projects_own_wins(self, conf: Path) -> None:
        """A project's default_run_env is used."""
        assert DatabricksConfigLoader(conf, default_run_env="prod").run_env == "prod"

    def test_a_missing_local_env_is_no_error(self, conf: Path) -> None:
        """An empty conf/local is not in Git, so a cluster does not have it."""
        (conf / "local").rmdir()
        (conf / "databricks" / "databricks.yml").unlink()
        (conf / "databricks").rmdir()
        write_files(conf, {"base/catalog.yml": PANDAS})
        assert DatabricksConfigLoader(conf)["catalog"]["table"]["filepath"] == "data/01_raw/table.csv"

    def test_a_missing_env_that_was_asked_for_is_an_error(self, conf: Path) -> None:
        """Only the env `local` may be missing."""
        write_files(conf, {"base/catalog.yml": PANDAS})
        with pytest.raises(MissingConfigException, match="prod"):
            DatabricksConfigLoader(conf, "prod")["catalog"]


def test_off_a_cluster_the_env_is_kedros(conf: Path) -> None:
    """Without --env a laptop uses the env `local`."""
    assert DatabricksConfigLoader(conf).run_env == "local"


def test_a_missing_local_env_is_kedros_error_off_a_cluster(conf: Path) -> None:
    """Off a cluster, envs work as in Kedro."""
    (conf / "local").rmdir()
    with pytest.raises(MissingConfigException, match="local"):
        DatabricksConfigLoader(conf)["catalog"]


def test_the_user_comes_from_the_environment(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kedro databricks run` sets the user's name on the driver."""
    monkeypatch.setenv("KEDRO_DATABRICKS_USER", "ada@example.com")
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/{project}'}"})
    catalog = catalog_of(conf, PANDAS)
    assert catalog["table"]["filepath"] == "/dbfs/Users/ada@example.com/tiny-shop/01_raw/table.csv"


def test_an_unknown_user_still_gives_a_catalog_to_look_at(conf: Path) -> None:
    """`kedro catalog` on a laptop needs no login; no run can use these paths there."""
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/x'}"})
    assert catalog_of(conf, PANDAS)["table"]["filepath"] == "/dbfs/Users/{user}/x/01_raw/table.csv"


@pytest.mark.usefixtures("cluster")
def test_on_a_cluster_the_user_is_sparks(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook the name comes from the Spark session; without a session it is an error."""
    rows: list[tuple[str]] = []
    session = SimpleNamespace(sql=lambda _: SimpleNamespace(first=lambda: rows[0] if rows else None))
    builder = SimpleNamespace(getOrCreate=lambda: session)
    spark = SimpleNamespace(SparkSession=SimpleNamespace(builder=builder))
    monkeypatch.setitem(sys.modules, "pyspark.sql", spark)
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/x'}"})
    with pytest.raises(SettingsError, match="user's name is unknown"):
        catalog_of(conf, PANDAS)
    rows.append(("ada@example.com",))
    assert catalog_of(conf, PANDAS)["table"]["filepath"] == "/dbfs/Users/ada@example.com/x/01_raw/table.csv"


@pytest.mark.usefixtures("cluster")
def test_a_project_without_an_env_of_ours_runs_in_kedros(conf: Path) -> None:
    """A cluster uses conf/local if the project has no env `databricks`."""
    (conf / "databricks" / "databricks.yml").unlink()
    (conf / "databricks").rmdir()
    assert DatabricksConfigLoader(conf).run_env == "local"


def test_the_branch_comes_from_git_here(conf: Path) -> None:
    """A data root with {branch} needs no variable on a laptop."""
    subprocess.run(["git", "init", "-q", "-b", "feat/x", str(conf.parent)], check=True)
    write_files(conf, {"databricks/databricks.yml": "data: {root: 'dbfs:/shop/{branch}'}"})
    assert catalog_of(conf, PANDAS)["table"]["filepath"].startswith("/dbfs/shop/feat")


def test_the_project_of_a_packaged_one(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pyproject.toml, the name is that of Kedro's package, or an error."""
    from kedro.framework import project

    (conf.parent / "pyproject.toml").unlink()
    monkeypatch.setattr(project, "PACKAGE_NAME", "packaged_shop")
    filepath = catalog_of(conf, PANDAS)["table"]["filepath"]
    assert filepath == "/dbfs/root/projects/packaged-shop/data/01_raw/table.csv"
    monkeypatch.setattr(project, "PACKAGE_NAME", None)
    with pytest.raises(SettingsError, match="does not belong to a Kedro project"):
        _ = DatabricksConfigLoader(conf, "databricks").data_root


def test_a_configuration_in_a_bucket(conf: Path) -> None:
    """--conf-source can be a URL: databricks.yml and the env's catalog are read from there."""
    write_files(conf, {"base/catalog.yml": PANDAS, "databricks/databricks.yml": VOLUME})
    bucket = fsspec.filesystem("memory")
    bucket.put(str(conf), "/bucket/conf", recursive=True)
    try:
        with _bucket_of("s3", type(bucket)):
            loader = DatabricksConfigLoader("s3://bucket/conf", "databricks")
            filepath = loader["catalog"]["table"]["filepath"]
    finally:
        bucket.rm("/bucket", recursive=True)
    assert filepath.startswith("/Volumes/main/shop/files/")


@contextmanager
def _bucket_of(protocol: str, kind: type) -> Iterator[None]:
    """Register another file system for a protocol."""
    before = fsspec.registry.get(protocol)
    fsspec.register_implementation(protocol, kind, clobber=True)
    yield
    fsspec.register_implementation(protocol, before, clobber=True)
