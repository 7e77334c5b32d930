"""Requests and folders of any size are refused or limited; nothing of a refused request is kept."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.app import MAX_UNAUTHENTICATED_BYTES, BodyLimit
from kedro_databricks_hybrid.sandbox.core import server_log
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from tests.sandbox.users_of_the_machine import ALLOWED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from tests.sandbox.conftest import Running

DEEP = "/a" * 1000
HOME = "/Users/user@example.com"


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_bodies_of_nobody_are_limited(
    running: Running, content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a valid token, large bodies are refused and not written to disk, on every path."""
    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", None)
    start = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body = start + b"a" * (MAX_UNAUTHENTICATED_BYTES - len(start))
    headers = {"Content-Type": content_type}
    for path, size, status in (
        ("/oidc/v1/token", 0, 400),
        ("/oidc/v1/token", 1, 413),
        ("/oidc/v1/token", 3_000_000, 413),
        ("/api/2.0/dbfs/put", 3_000_000, 401),
    ):
        answer = httpx.post(running.url + path, content=body + b"a" * size, headers=headers)
        assert answer.status_code == status, (path, size, answer.text)


async def refusal(request: Request, error: Exception) -> Response:
    """Answer with the error."""
    assert isinstance(error, ApiError)
    return error.response()


def test_the_limit_holds_for_every_route() -> None:
    """A route that reads a form without a user: 413 after the first part of a large body."""
    read = 0

    async def spool(request: Request) -> Response:
        return Response(str(len(await request.form())))

    async def content() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        for _ in range(1000):
            read += 1
            yield b"a" * 10_000

    app = Starlette(routes=[Route("/", spool, methods=["POST"])], exception_handlers={ApiError: refusal})
    app.add_middleware(BodyLimit)

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            return await client.post("/", content=content(), headers=headers)

    assert asyncio.run(post()).status_code == 413
    assert read < 10


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "dbfs/mkdirs"),
        ("POST", "dbfs/put"),
        ("POST", "dbfs/delete"),
        ("POST", "dbfs/create"),
        ("POST", "workspace/mkdirs"),
        ("POST", "workspace/delete"),
        ("POST", f"workspace-files/import-file{HOME}{DEEP}"),
        ("PUT", f"fs/directories/Volumes/main/default/data{DEEP}"),
        ("PUT", f"fs/files/Volumes/main/default/data{DEEP}"),
        ("POST", "repos"),
    ],
)
def test_deep_paths_are_refused(http: httpx.Client, method: str, path: str) -> None:
    """A path of more than 200 names is refused with 400."""
    top = DEEP if path.startswith("dbfs") else HOME + DEEP
    fields = {"path": top, "contents": "", "recursive": True, "url": "/nothing.git", "provider": "gitHub"}
    answer = http.request(method, f"/api/2.0/{path}", json=fields)
    assert answer.status_code == 400
    assert "has more than 200 names" in answer.json()["message"]


def make_deep(folder: Path, levels: int = 1200) -> None:
    """Create nested folders, deeper than a path can be long, with a file in every hundredth."""
    folder.mkdir(parents=True)
    above = os.open(folder, os.O_RDONLY)
    for level in range(levels):
        os.mkdir("folder", dir_fd=above)
        inside = os.open("folder", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inside
        if level % 100 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=above))
    os.close(above)


def test_deep_folders_of_a_notebook_can_be_deleted(running: Running, http: httpx.Client) -> None:
    """Folders deeper than Python's recursion limit can be deleted; a restart deletes scratch folders."""
    layout = running.sandbox.layout
    for top in (layout.workspace / HOME[1:], layout.dbfs, layout.scratch):
        make_deep(top / "top")
    for api, path in (("workspace", f"{HOME}/top"), ("dbfs", "/top")):
        assert http.get(f"/api/2.0/{api}/list", params={"path": path}).status_code == 200
        answer = http.post(f"/api/2.0/{api}/delete", json={"path": path, "recursive": True})
        assert answer.status_code == 200, answer.text
    assert not (layout.workspace / HOME[1:] / "top").exists()
    assert not (layout.dbfs / "top").exists()
    type(running.sandbox)(layout)
    assert list(layout.scratch.iterdir()) == []


_READ_ONLY = """
import os, sys
from pathlib import Path
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
top = Path(sys.argv[1])
(top / "a/b/c").mkdir(parents=True)
for name in ("a/file", "a/b/file", "a/b/c/file"):
    (top / name).write_text("x")
for name, mode in (("a/b/c", 0), ("a/b", 0o555), ("a", 0o500)):
    (top / name).chmod(mode)
try:
    (top / "a/file").unlink()
except PermissionError:
    remove_tree(top)
print(top.exists())
"""


@pytest.mark.namespaces
def test_read_only_folders_are_deleted(tmp_path: Path) -> None:
    """Read-only folders are deleted, also by a user without privileges."""
    command = [*ALLOWED, sys.executable, "-c", _READ_ONLY, str(tmp_path / "top")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("functions", [os.supports_dir_fd, set()], ids=["this system", "without dir_fd"])
def test_links_are_deleted_not_followed(
    tmp_path: Path, functions: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting a folder with links keeps their targets; a link as argument is not followed."""
    monkeypatch.setattr(os, "supports_dir_fd", functions)
    (tmp_path / "kept").mkdir(mode=0o755)
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "top/sub").mkdir(parents=True)
    (tmp_path / "top/sub/link").symlink_to(tmp_path / "kept")
    (tmp_path / "top/link").symlink_to(tmp_path / "kept/file")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "top")
    remove_tree(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "link"]
    assert (tmp_path / "kept/file").read_text() == "x"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o755


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines and tracebacks are cut, and a full log file is rotated."""
    monkeypatch.setattr(server_log, "_MAX_BYTES", 20_000)
    handler = server_log.handler_of(tmp_path / "server.log")
    failure = (ValueError, ValueError("y" * 100_000), None)
    for number in range(50):
        text = f"{number} " + "x" * 100_000
        handler.emit(logging.LogRecord("name", logging.ERROR, __file__, 1, text, (), failure))
    handler.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["server.log", "server.log.1"]
    assert all(file.stat().st_size <= 20_000 for file in files)
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert max(map(len, lines)) < 1100
    assert any(line.endswith("... (100012 characters)") for line in lines)
    assert "ERROR name: 49 xxx" in files[0].read_text()


def test_a_refused_object_of_the_catalog_is_not_kept(
    running: Running, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is too long, or a full disk: the object is neither listed nor blocks its name."""
    base = "/api/2.1/unity-catalog"
    parents = {"catalog_name": "main", "schema_name": "default", "volume_type": "MANAGED"}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for kind in ("catalogs", "schemas", "volumes"):
        before = http.get(f"{base}/{kind}", params=parents).json()
        too_long = http.post(f"{base}/{kind}", json={**parents, "name": "é" * 200})
        assert (too_long.status_code, too_long.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        with monkeypatch.context() as patch:
            patch.setattr("kedro_databricks_hybrid.sandbox.core.store.write_atomically", full)
            answer = http.post(f"{base}/{kind}", json={**parents, "name": "new"})
            assert (answer.status_code, answer.json()["message"]) == (500, "The disk of the sandbox is full.")
        assert http.get(f"{base}/{kind}", params=parents).json() == before
        assert http.post(f"{base}/{kind}", json={**parents, "name": "new"}).status_code == 200
