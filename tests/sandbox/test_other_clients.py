"""Requests of other clients: fsspec's dbfs, dbx, the SDK's dbutils, the command line, VS Code."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from fsspec.implementations.dbfs import DatabricksFileSystem

from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.connect.gateway import CERTIFICATE_FILE, make_certificate
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sandbox.conftest import Running


@pytest.fixture
def behind_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return a sandbox that is served with TLS, with a certificate that clients trust."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    key = tmp_path / "key.pem"
    key.write_bytes(make_certificate(sandbox.layout.home).key)
    certificate = str(sandbox.layout.home / CERTIFICATE_FILE)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    server = serve(sandbox, ssl_certfile=certificate, ssl_keyfile=str(key))
    yield sandbox
    server.stop()


def test_fsspecs_dbfs(behind_tls: Sandbox) -> None:
    """Use fsspec's dbfs, which sends GET parameters as JSON and distinguishes errors by their code."""
    host, token = behind_tls.url.removeprefix("https://"), behind_tls.user.token
    files = DatabricksFileSystem(host, token, skip_instance_cache=True)
    content = os.urandom(2_500_000)
    with files.session:
        files.mkdirs("/projects/data")
        with files.open("/projects/data/a.bin", "wb") as file:
            file.write(content)
        with files.open("/projects/data/a.bin", "rb") as file:
            assert file.read() == content
        shown = {"name": "/projects/data/a.bin", "type": "file", "size": len(content)}
        assert files.ls("/projects/data") == [shown]
        with pytest.raises(FileExistsError):
            files.makedirs("/projects/data", exist_ok=False)
        with pytest.raises(FileNotFoundError):
            files.ls("/projects/missing")
        with pytest.raises(OSError, match="non-empty directory") as refusal:
            files.rm("/projects")
        assert refusal.value.errno != errno.ENOENT
        del refusal  # its response keeps the connection open
        files.mv("/projects/data/a.bin", "/projects/b.bin")
        files.rm("/projects", recursive=True)
    assert not (behind_tls.layout.dbfs / "projects").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[]", 400), (b"{", 400), (b"[" * 5000, 400), (b'{"path": {}}', 200), (b'{"page": 1}', 200)],
)
def test_a_body_of_a_get(http: httpx.Client, body: bytes, status: int) -> None:
    """The body of a GET must be an object; the query string overrides its parameters."""
    answer = http.request("GET", "/api/2.0/dbfs/list", params={"path": "/FileStore"}, content=body)
    assert answer.status_code == status


def test_dbx_syncs_a_repo(http: httpx.Client, repo_id: int, folder: Any) -> None:
    """Paths with doubled slashes, a status with a JSON body; not into a folder of /Repos that is no repo."""
    del repo_id
    path = "/Repos/user@example.com/project"
    status = http.request("GET", "/api/2.0/workspace/get-status", json={"path": path})
    assert status.json()["object_type"] == "REPO"
    refused = http.post("/api/2.0/workspace/mkdirs", json={"path": "/Repos/user@example.com/none"})
    assert (refused.status_code, refused.json()) == (
        400,
        {"error_code": "DIRECTORY_PROTECTED", "message": "Top-level folder can only contain repos"},
    )
    assert http.post("/api/2.0/workspace/mkdirs", json={"path": f"{path}/src/new"}).status_code == 200
    address = f"/api/2.0/workspace-files/import-file/{path}/src/new//a.txt"
    for content in (b"1", b"2"):
        assert http.post(address, content=content, params={"overwrite": "true"}).status_code == 200
    assert (folder / "src/new/a.txt").read_bytes() == b"2"
    body = {"path": f"{path}/src/new", "recursive": True}
    assert http.post("/api/2.0/workspace/delete", json=body).status_code == 200
    assert not (folder / "src/new").exists()


def test_settings_of_the_workspace(
    http: httpx.Client, running: Running, start_sandbox: Callable[..., Running]
) -> None:
    """Each requested key is in the answer, null if it is not set; settings survive a restart."""
    address, asked = "/api/2.0/workspace-conf", {"keys": "enableDcs,maxTokenLifetimeDays"}
    assert http.get(address, params=asked).json() == {"enableDcs": None, "maxTokenLifetimeDays": None}
    assert http.patch(address, json={"enableDcs": "true"}).status_code == 204
    assert http.patch(address, json={"enableDcs": False}).status_code == 400
    running.stop()
    again = start_sandbox().http()
    assert again.get(address, params=asked).json() == {"enableDcs": "true", "maxTokenLifetimeDays": None}


def test_telemetry_is_dropped(http: httpx.Client) -> None:
    """Telemetry is accepted and dropped, so that the command line does not send it again."""
    answer = http.post("/telemetry-ext", json={"uploadTime": 1, "items": [], "protoLogs": ["{}", "{}"]})
    assert (answer.status_code, answer.json()) == (200, {"errors": [], "numProtoSuccess": 2})


def test_an_unknown_address_is_logged_once(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A client that tries again does not fill the log."""
    for _ in range(3):
        answer = http.get("/api/2.0/sql/warehouses")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert answer.json()["message"] == "No API found for 'GET /sql/warehouses'"
    assert [record.getMessage().count("/sql/warehouses") for record in caplog.records] == [1]


@pytest.mark.processes
def test_the_sdks_dbutils(running: Running) -> None:
    """The SDK's dbutils runs a command on a cluster and parses its exit value."""
    token = running.sandbox.user.token
    workspace = WorkspaceClient(host=running.url, token=token, cluster_id=RUNNING_ID)
    fs, secrets = workspace.dbutils.fs, workspace.dbutils.secrets
    assert fs.put("/a/b.txt", "1234")
    assert fs.cp("/a", "/c", recurse=True)
    assert fs.mv("/c/b.txt", "/a/d.txt")
    assert [(file.path, file.name, file.size) for file in fs.ls("/a")] == [
        ("/a/b.txt", "b.txt", 4),
        ("/a/d.txt", "d.txt", 4),
    ]
    assert fs.head("/a/d.txt", 2) == "12"
    assert fs.rm("/a", recurse=True)
    workspace.secrets.create_scope("scope")
    workspace.secrets.put_secret("scope", "key", string_value="value")
    assert [scope.name for scope in secrets.listScopes()] == ["scope"]
    assert [secret.key for secret in secrets.list("scope")] == ["key"]
    assert secrets.get("scope", "key") == "value"
    assert [mount[0] for mount in fs.mounts()] == ["/Volumes", "/"]
    assert fs.refreshMounts() is True
