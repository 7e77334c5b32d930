"""Tables of another session than the run's are refused; the real client creates sessions without Spark."""

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
    """Return the sandbox's address and token."""
    found = connection.read(sandbox_home)
    assert found is not None
    return found


@pytest.fixture
def host(running: connection.Connection) -> str:
    """Return the sandbox's address."""
    return running.host


def session(host: str, **compute: Any) -> SparkSession:
    """Create a session that sends no request."""
    config = Config(host=host, token="dapi", **compute)
    made: SparkSession = DatabricksSession.builder.sdkConfig(config).validateSession(False).create()
    return made


@pytest.fixture
def of_run(host: str, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """Create the session of a run on a cluster."""
    made = session(host, cluster_id=CLUSTER)
    monkeypatch.setattr(connect._Run, "session", made)  # noqa: SLF001 - what a run of this process holds
    monkeypatch.setattr(RemoteSession, "getActiveSession", lambda: made)
    return made


@pytest.mark.parametrize("compute", [{"cluster_id": CLUSTER}, {"serverless_compute_id": "auto"}], ids=str)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_every_other_session_is_another(
    of_run: SparkSession, host: str, name: str, compute: dict[str, str]
) -> None:
    """Tables of another compute, another address or a second session on the same cluster are refused.

    Also if they are in a partition or a list.
    """
    table = session(host.replace("127.0.0.1", name), **compute).range(1)
    strange: tuple[object, ...] = (table, {"part": table}, [table])
    for data in strange:
        with pytest.raises(ComputeError, match=f"Dataset kept is a table of another .* of {name}"):
            connect.check_data("kept", data)


def test_the_runs_own_tables_pass(of_run: SparkSession) -> None:
    """Tables of the run's session, also from a copy of it, and other objects are accepted."""
    table = of_run.range(1)
    passing: tuple[object, ...] = (table, copy.copy(of_run).range(1), {"part": table}, {"a": 1}, [], None)
    for data in passing:
        connect.check_data("kept", data)


def test_a_projects_own_session_elsewhere_is_refused(
    running: connection.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project created a session on another workspace than the run's files: refused."""
    own = session(running.host.replace("127.0.0.1", "localhost"), cluster_id=CLUSTER)
    monkeypatch.setattr(RemoteSession, "getActiveSession", lambda: own)
    monkeypatch.setattr(
        connect._Run,  # noqa: SLF001
        "workspace",
        workspace.connect_with(running.host, running.token),
    )
    with pytest.raises(ComputeError, match="created a Spark session on localhost"):
        connect.start(None, lambda line: None)
