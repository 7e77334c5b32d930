"""Secrets: read from the workspace on this machine, with dbutils on a driver."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.config import secrets
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import LoginError, NotFoundError, WorkspaceError
from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve a sandbox that has one secret, and log in with environment variables."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    served = serve(sandbox)
    monkeypatch.setenv("DATABRICKS_HOST", sandbox.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", sandbox.user.token)
    ask = connect(None).client.api_client.do
    ask("POST", "/api/2.0/secrets/scopes/create", body={"scope": "shop"})
    ask("POST", "/api/2.0/secrets/put", body={"scope": "shop", "key": "api.key", "string_value": "hush"})
    yield
    served.stop()


@pytest.mark.usefixtures("logged_in")
def test_a_secret_of_the_workspace() -> None:
    """Without the environment variable, the secret is read from the workspace."""
    assert secrets.read("shop", "api.key") == "hush"


@pytest.mark.usefixtures("logged_in")
def test_a_secret_that_the_workspace_does_not_have() -> None:
    """The error names the secret and the environment variable that could replace it."""
    with pytest.raises(NotFoundError, match=r"Secret other of scope shop") as caught:
        secrets.read("shop", "other")
    assert "DATABRICKS_SECRET_SHOP_OTHER" in (caught.value.hint or "")
    assert "hush" not in str(caught.value)


def test_a_secret_without_a_login() -> None:
    """The error names the missing login and the environment variable."""
    with pytest.raises(LoginError, match=r"Secret api\.key of scope shop.*No Databricks login") as caught:
        secrets.read("shop", "api.key")
    assert "DATABRICKS_SECRET_SHOP_API_KEY" in (caught.value.hint or "")


def test_a_driver_without_dbutils(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without dbutils cannot read secrets, and the error says so."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    with pytest.raises(WorkspaceError, match="has no dbutils"):
        secrets.read("shop", "api.key")


def test_a_driver_outside_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a script, dbutils is created for the Spark session, with a module of Databricks' pyspark."""

    class DBUtils:
        def __init__(self, session: object) -> None:
            self.secrets = types.SimpleNamespace(get=lambda scope, key: f"{session}: {scope}/{key}")

    builder = types.SimpleNamespace(getOrCreate=lambda: "the session")
    spark = types.SimpleNamespace(SparkSession=types.SimpleNamespace(builder=builder))
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setitem(sys.modules, "pyspark.dbutils", types.SimpleNamespace(DBUtils=DBUtils))
    monkeypatch.setitem(sys.modules, "pyspark.sql", spark)
    assert secrets.read("shop", "api.key") == "the session: shop/api.key"
