"""A server that is killed while it writes."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.sandbox.notebooks import serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.processes

# What is written, the path and the body of the request, the field of the answer that names it (else "name"),
# and where it is found again.
RUN: dict[str, object] = {"tasks": [{"task_key": "a", "notebook_task": {"notebook_path": "/nothing"}}]}
WRITES: dict[str, tuple[str, Mapping[str, object], str, str]] = {
    "credential": (
        *("2.0/git-credentials", {"git_provider": "gitHub"}, "credential_id"),
        "2.0/git-credentials/{}",
    ),
    "job": ("2.2/jobs/create", {"name": "{}"}, "job_id", "2.2/jobs/get?job_id={}"),
    "run": ("2.2/jobs/runs/submit", RUN, "run_id", "2.2/jobs/runs/get?run_id={}"),
    "cluster": (
        *("2.1/clusters/create", {"spark_version": "17.3.x-scala2.13"}, "cluster_id"),
        "2.1/clusters/get?cluster_id={}",
    ),
    "scope": ("2.0/secrets/scopes/create", {"scope": "{}"}, "", "2.0/secrets/list?scope={}"),
    "schema": (
        *("2.1/unity-catalog/schemas", {"name": "{}", "catalog_name": "main"}, ""),
        "2.1/unity-catalog/schemas/main.{}",
    ),
    "file": ("2.0/dbfs/put", {"path": "/{}", "contents": "eA=="}, "", "2.0/dbfs/get-status?path=/{}"),
    "folder": (
        "2.0/workspace/mkdirs",
        {"path": "/Shared/{}"},
        "",
        "2.0/workspace/get-status?path=/Shared/{}",
    ),
}


def write(client: httpx.Client, kind: str, name: str) -> str:
    """Write something and return its name once the server has acknowledged it."""
    path, fields, field, _ = WRITES[kind]
    body = {key: value.format(name) if isinstance(value, str) else value for key, value in fields.items()}
    answer = client.post(f"/api/{path}", json=body).raise_for_status().json()
    return str(answer[field]) if field else name


def is_known(client: httpx.Client, kind: str, name: str) -> bool:
    """Return whether the server has an object that it acknowledged."""
    return client.get(f"/api/{WRITES[kind][3].format(name)}").status_code == 200


def test_state_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    """Every acknowledged object exists after the restart."""
    chance = random.Random(20)  # noqa: S311 - the same moments every time
    acknowledged: list[tuple[str, str]] = []
    for _ in range(6):
        with serve(tmp_path / "home") as server:
            client = server.http
            lost = [known for known in acknowledged if not is_known(client, *known)]
            assert lost == []
            acknowledged += [(kind, write(client, kind, f"n{chance.getrandbits(40)}")) for kind in WRITES]
            killer = threading.Timer(chance.uniform(0.05, 0.6), server.process.kill)
            killer.start()
            with contextlib.suppress(httpx.TransportError):
                while True:
                    for kind in WRITES:
                        acknowledged.append((kind, write(client, kind, f"n{chance.getrandbits(40)}")))
            killer.join()
