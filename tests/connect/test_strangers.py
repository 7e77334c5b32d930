"""What counts as another session than the run's: made with the real client, which asks no Spark for it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from databricks.connect import DatabricksSession
from databricks.sdk.core import Config
from pyspark.sql.connect.session import SparkSession as RemoteSession

from kedro_databricks_hybrid.databricks import workspace
from kedro_databricks_hybrid.errors import ComputeError
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.spark import connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CLUSTER = "0101-120000-sandbox1"


@pytest.fixture
def running(sandbox_home: Path) -> connection.Connection:
    """The sandbox's address and token."""
    found = connection.read(sandbox_home)
    assert found is not None
    return found


@pytest.fixture
def host(running: connection.Connection) -> str:
    """The sandbox's address."""
    return running.host


def session(host: str, **compute: Any) -> SparkSession:
    """Make a session, which nothing is asked of yet."""
    config = Config(host=host, token="dapi", **compute)
    made: SparkSession = DatabricksSession.builder.sdkConfig(config).validateSession(False).create()
    return made


@pytest.fixture
def of_run(host: str, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """The session of a run on a cluster."""
    made = session(host, cluster_id=CLUSTER)
    monkeypatch.setattr(connect._Run, "session", made)  # noqa: SLF001 - what a run of this process holds
    monkeypatch.setattr(RemoteSession, "getActiveSession", lambda: made)
    return made


@pytest.mark.parametrize("compute", [{"cluster_id": CLUSTER}, {"serverless_compute_id": "auto"}], ids=str)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_every_other_session_is_another(
    of_run: SparkSession, host: str, name: str, compute: dict[str, str]
) -> None:
    """Other compute, another address, and a second one on the same cluster; also inside of a partition."""
    table = session(host.replace("127.0.0.1", name), **compute).range(1)
    strange: tuple[object, ...] = (table, {"part": table}, [table])
    for data in strange:
        with pytest.raises(ComputeError, match=f"Dataset kept is a table of another .* of {name}"):
            connect.check_data("kept", data)


def test_the_runs_own_tables_pass(of_run: SparkSession) -> None:
    """Spark's, also where the session was copied (which gives the same one), and what is no table at all."""
    table = of_run.range(1)
    passing: tuple[object, ...] = (table, copy.copy(of_run).range(1), {"part": table}, {"a": 1}, [], None)
    for data in passing:
        connect.check_data("kept", data)


def test_a_projects_own_session_elsewhere_is_refused(
    running: connection.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark there and files here would be two sets of data under one name."""
    own = session(running.host.replace("127.0.0.1", "localhost"), cluster_id=CLUSTER)
    monkeypatch.setattr(RemoteSession, "getActiveSession", lambda: own)
    monkeypatch.setattr(
        connect._Run,  # noqa: SLF001
        "workspace",
        workspace.connect_with(running.host, running.token),
    )
    with pytest.raises(ComputeError, match="created a Spark session on localhost"):
        connect.start(None, lambda line: None)
