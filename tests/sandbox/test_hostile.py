"""Invalid input for every route: no 500, no hang, no file outside of the home."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Running

FIELDS = [
    "path", "source_path", "destination_path", "contents", "content", "data", "handle", "overwrite",
    "recursive", "offset", "length", "format", "language", "url", "provider", "branch", "tag",
    "sparse_checkout", "git_credential_id", "dangerously_force_discard_all", "git_provider",
    "git_username", "personal_access_token", "is_default_for_provider", "cluster_id", "cluster_name",
    "spark_version", "custom_tags", "limit", "order", "page_token", "page_size", "next_page_token",
    "path_prefix", "return_git_info", "notebooks_modified_after", "name", "catalog_name", "schema_name",
    "volume_type", "comment", "force", "direct_download", "clusterId", "contextId", "commandId", "command",
    "scope", "key", "string_value", "bytes_value", "libraries", "tasks", "git_source", "environments",
    "job_clusters", "idempotency_token", "timeout_seconds", "run_id", "job_id", "new_settings", "effect",
    "method", "nth", "rate", "python_params", "notebook_params", "max_concurrent_runs", "fields_to_remove",
    "schedule", "parameters", "job_parameters", "tags", "queue", "only", "rerun_tasks", "latest_repair_id",
    "rerun_all_failed_tasks", "include_history", "session_token", "action", "start_part_number", "count",
    "parts", "uploads", "public-dbfs-root", "token_id", "lifetime_seconds", "seconds", "times",
    "seed",
]  # fmt: skip
PATHS = [
    "/", "", ".", "..", "/..", "/Users/user@example.com/a", "/Users/user@example.com", "/Repos/a/b",
    "/Workspace/Repos/user@example.com/r", "/Shared/x.py", "/Shared/x", "dbfs:/a", "/a/b", "/FileStore",
    "/Volumes/main/default/data/a", "/Volumes/main/default/data", "main", "main.default.data", "/a\0b",
    "/" + "x" * 300, "/" + "x/" * 600, "/Shared/../../..", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
    "C:\\x", "/Shared/\udcff", "/tmp/nothing.git", "0101-120000-sandbox2", "1", "-1", "AUTO", "PYTHON",
    "SOURCE", "JUPYTER", "eA==", "true", "MANAGED",
]  # fmt: skip
TEXT = st.one_of(st.sampled_from(PATHS), st.text(max_size=30))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(TEXT, VALUES), max_size=6),
    VALUES,
)


@pytest.fixture
def routes(running: Running) -> list[tuple[str, str]]:
    """Return the method and the path of every route."""
    app = create_app(running.sandbox)
    return sorted(
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    )


def filled(path: str, value: str) -> str:
    """Return a route's path with a value in place of each of its parameters."""
    return re.sub(r"{[^}]*}", quote(value.encode(errors="replace"), safe="/."), path)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    bodies=st.lists(BODIES, min_size=7, max_size=7),
    texts=st.lists(TEXT, min_size=5, max_size=5),
    raw=st.binary(max_size=50),
)
def test_hostile_input_is_refused(
    running: Running, routes: list[tuple[str, str]], bodies: list[Any], texts: list[str], raw: bytes
) -> None:
    """Each route answers random invalid input with JSON of the API."""
    client = running.clients[0] if running.clients else running.http()
    for number, (method, path) in enumerate(routes):
        body, text = bodies[number % len(bodies)], texts[number % len(texts)]
        address = filled(path, text) or "/"
        content = None
        if method in {"GET", "HEAD", "DELETE"}:
            pairs = body.items() if isinstance(body, dict) else [("path", body)]
            address += "?" + "&".join(
                f"{quote(str(key).encode(errors='replace'))}={quote(str(value).encode(errors='replace'))}"
                for key, value in pairs
            )
        else:
            content = raw if number % 10 == 0 else json.dumps(body)
        url = httpx.URL(running.url, raw_path=address.encode())
        answer = client.request(method, url, content=content)
        assert answer.status_code < 500, (method, url, content, answer.text)
        running.sandbox.faults.clear()
    home = running.sandbox.layout.home
    assert sorted(path.name for path in home.parent.iterdir()) == ["home"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"{" * 100,
        b'{"path": ' + b"9" * 10_000 + b"}",
        b'{"handle": 1e999}',
        b"\xff\xfe",
        b"nul",
    ],
)
def test_bodies_that_are_no_json(http: httpx.Client, content: bytes) -> None:
    """Bodies that are not JSON are refused as malformed or invalid."""
    for path in ("dbfs/mkdirs", "dbfs/close", "repos", "workspace/import", "clusters/start"):
        assert http.post(f"/api/2.0/{path}", content=content).status_code == 400


TASK = {"task_key": "a", "existing_cluster_id": "0101-120000-sandbox1"}
SCRIPT = {"spark_python_task": {"python_file": "/a.py"}}
WRONG = [0, "", [1], {"x": 1}, [{"x": [1]}], [[]]]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "settings",
    [
        lambda wrong: {"tasks": wrong},
        lambda wrong: {"tasks": [wrong]},
        lambda wrong: {"tasks": [{**TASK, "spark_python_task": wrong}]},
        lambda wrong: {"tasks": [{**TASK, "notebook_task": {"notebook_path": wrong}}]},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT, "depends_on": wrong}]},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT, "libraries": wrong or [0]}]},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT, "existing_cluster_id": wrong}]},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT, "timeout_seconds": wrong or "x"}]},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT}], "environments": wrong or "x"},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT}], "job_clusters": wrong or "x"},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT}], "git_source": wrong or "x"},
        lambda wrong: {"tasks": [{**TASK, **SCRIPT}], "parameters": wrong or "x"},
    ],
)
def test_jobs_of_the_wrong_shape(
    http: httpx.Client, settings: Callable[[object], dict[str, object]], wrong: object
) -> None:
    """A wrong value anywhere in a job is refused, and nothing is run."""
    given = settings(wrong)
    for path, fields in (("runs/submit", given), ("create", {"name": "x", **given})):
        if path == "runs/submit" or given["tasks"]:
            assert http.post(f"/api/2.2/jobs/{path}", json=fields).status_code == 400
    assert "runs" not in http.get("/api/2.2/jobs/runs/list").json()


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/"]
)
@pytest.mark.parametrize("path", ["dbfs/put", "workspace/import"])
def test_forms_that_are_no_forms(http: httpx.Client, path: str, content_type: str) -> None:
    """Invalid forms are refused."""
    answer = http.post(f"/api/2.0/{path}", content=b"--x\r\nbroken", headers={"Content-Type": content_type})
    assert answer.status_code == 400


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    """A body that is too large is refused before it is read completely."""
    chunk = b" " * (1024 * 1024)
    try:
        answer = http.post("/api/2.0/dbfs/mkdirs", content=(chunk for _ in range(40)))
    except httpx.WriteError:
        return  # refused while it was being sent
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /api/2.0/dbfs/get-status?path=/%ff%fe HTTP/1.1",
        b"GET /api/2.0/fs/files/Volumes/main/default/data/%2e%2e/%2e%2e/%2e%2e/x HTTP/1.1",
        b"GET /api/2.0/fs/files/Volumes/main/default/data/..%2f..%2f..%2fx HTTP/1.1",
        b"GET /api/2.0/fs/files//Volumes//main/default/data/../../../../x HTTP/1.1",
        b"GET http://evil.example/api/2.0/preview/scim/v2/Me HTTP/1.1",
        b"GET /api/2.0/fs/files/Volumes/main/default/data/%00 HTTP/1.1",
        b"GET /../../etc/passwd HTTP/1.1",
    ],
)
def test_raw_request_lines(running: Running, request_line: bytes) -> None:
    """Request lines and headers that no HTTP library sends do not stop the server."""
    port = int(running.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        token = running.sandbox.user.token.encode()
        connection.sendall(
            request_line
            + b"\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer "
            + token
            + b"\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status = int(answer.split(b" ", 2)[1])
    assert 200 <= status < 500
    assert b"root:" not in answer


def test_a_request_that_stops_half_way(running: Running, http: httpx.Client) -> None:
    """A request that stops half-way leaves no file, and the server keeps running."""
    port = int(running.url.rsplit(":", 1)[1])
    token = running.sandbox.user.token
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"PUT /api/2.0/fs/files/Volumes/main/default/data/half HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {token}\r\nContent-Length: 100\r\n\r\nhalf".encode()
        )
    for _ in range(100):
        if not list(running.sandbox.layout.scratch.iterdir()):
            break
        http.get("/api/2.0/clusters/list")
    assert list(running.sandbox.layout.scratch.iterdir()) == []
    assert http.head("/api/2.0/fs/files/Volumes/main/default/data/half").status_code == 404
