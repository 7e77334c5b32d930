"""The sandbox's endpoint for Databricks Connect refuses what Databricks refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databricks.connect import DatabricksSession
from databricks.sdk.core import Config

from kedro_databricks_hybrid.sandbox import connection


@pytest.fixture
def login(sandbox_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return a host and a token, and trust the sandbox's certificate."""
    running = connection.read(sandbox_home)
    assert running is not None
    import requests

    answer = requests.get(
        f"{running.host}/sandbox/connect", headers={"Authorization": f"Bearer {running.token}"}, timeout=30
    )
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", answer.json()["certificate"])
    return {"host": running.host, "token": running.token}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"token": "dapi-wrong", "cluster_id": "0101-120000-sandbox1"}, "Invalid access token"),
        ({"cluster_id": "0101-120000-nowhere"}, "Cluster 0101-120000-nowhere does not exist"),
        ({"cluster_id": "0101-120000-sandbox2"}, "is not running"),
        ({}, "Cluster id or serverless are required"),
    ],
    ids=["token", "cluster", "stopped", "none"],
)
def test_who_may_not_enter_is_told_why(login: dict[str, str], changed: dict[str, Any], words: str) -> None:
    """A wrong token, a missing or stopped cluster, and no compute: each error says what is wrong."""
    config = Config(**{**login, **changed}, retry_timeout_seconds=5)
    with pytest.raises(Exception, match=words):
        DatabricksSession.builder.sdkConfig(config).validateSession(False).create().range(1).collect()
