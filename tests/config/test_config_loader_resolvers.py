"""The values of the resolvers, and the configuration in which they are allowed."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.config_loader import RESOLVERS, DatabricksConfigLoader
from kedro_databricks_hybrid.errors import SettingsError
from tests.config.fixtures import ON_DBFS, PANDAS, catalog_of, clean_loader, cluster, conf
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["clean_loader", "cluster", "conf"]

pytestmark = pytest.mark.filterwarnings("ignore:\\s*register_new_resolver")


RESOLVED = """\
    root: ${databricks.data_root:}
    env: ${databricks.env:}
    user: ${databricks.user:}
    branch: ${databricks.branch:}
    """


def test_resolvers_give_what_the_run_knows(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters can contain the data root, env, user and branch."""
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
    """One parameter file works locally and on Databricks."""
    write_files(conf, {"base/parameters.yml": "root: ${databricks.data_root:}/models"})
    assert DatabricksConfigLoader(conf, "local")["parameters"] == {"root": "data/models"}


def test_two_loaders_do_not_share_resolvers(conf: Path) -> None:
    """OmegaConf's resolvers are global, but each loader gets its own values."""
    write_files(conf, {"base/parameters.yml": "env: ${databricks.env:}\nown: ${own:}"})
    local = DatabricksConfigLoader(conf, "local", custom_resolvers={"own": lambda: 1})
    remote = DatabricksConfigLoader(conf, "databricks", custom_resolvers={"own": lambda: 2})
    assert remote["parameters"] == {"env": "databricks", "own": 2}
    assert local["parameters"] == {"env": "local", "own": 1}


def test_an_unknown_user_is_an_error_in_a_resolver(conf: Path) -> None:
    """The error names the variable that sets the user."""
    write_files(conf, {"base/parameters.yml": "user: ${databricks.user:}"})
    with pytest.raises(Exception, match="KEDRO_DATABRICKS_USER"):
        DatabricksConfigLoader(conf)["parameters"]


def test_a_resolver_outside_of_a_project_says_so() -> None:
    """Another loader in the process has no env, user or data root."""
    with pytest.raises(SettingsError, match=r"\$\{databricks\.user:\} can be resolved only by") as caught:
        RESOLVERS["databricks.user"]()
    assert "CONFIG_LOADER_CLASS" in (caught.value.hint or "")


SECRET = "${databricks.secret:my-scope,api.key}"


def test_a_secret_comes_from_the_environment_here(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a cluster, an environment variable replaces the workspace."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "hush")
    write_files(conf, {"local/credentials.yml": f"db: {{password: '{SECRET}'}}"})
    loader = DatabricksConfigLoader(conf)
    assert loader["credentials"] == {"db": {"password": "hush"}}
    assert "hush" not in repr(loader)


@pytest.mark.usefixtures("cluster")
def test_a_secret_comes_from_dbutils_on_a_cluster(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver reads secrets with the dbutils of its notebook, not from the environment."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "not this")
    _with_dbutils(monkeypatch, lambda scope, key: f"{scope}/{key}")
    write_files(conf, {"base/credentials.yml": f"password: '{SECRET}'"})
    assert DatabricksConfigLoader(conf)["credentials"] == {"password": "my-scope/api.key"}


@pytest.mark.usefixtures("cluster")
def test_a_secret_that_cannot_be_read_is_named_without_its_value(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of a JVM error may contain the value, so only its type is shown."""

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
    """`kedro catalog` and experiment trackers show this configuration."""
    monkeypatch.setenv("DATABRICKS_SECRET_MY_SCOPE_API_KEY", "hush")
    write_files(conf, {f"base/{key}.yml": f"a: {{b: '{SECRET}'}}"})
    with pytest.raises(Exception, match=r"credentials\.yml") as caught:
        DatabricksConfigLoader(conf)[key]
    assert "hush" not in str(caught.value)


def test_a_broken_databricks_yml_is_reported(conf: Path) -> None:
    """A typo is an error, since without it the catalog would stay local."""
    write_files(conf, {"databricks/databricks.yml": "data: {rot: dbfs:/x}"})
    with pytest.raises(SettingsError, match=r"Did you mean data\.root"):
        catalog_of(conf, PANDAS)


def _with_dbutils(monkeypatch: pytest.MonkeyPatch, get: Callable[[str, str], str]) -> None:
    """Give this process an IPython shell with dbutils, as on a driver."""
    dbutils = types.SimpleNamespace(secrets=types.SimpleNamespace(get=get))
    shell = types.SimpleNamespace(user_ns={"dbutils": dbutils})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
