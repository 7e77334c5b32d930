"""The server as a process: how it starts, writes its connection file, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes

ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home that does not exist yet."""
    return tmp_path / "new" / "home"


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start servers, and end those that a test leaves."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str], home: Path) -> connection.Connection:
    """Wait for the connection file and return it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = connection.read(home)
        if found is not None and found.pid == process.pid:
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("the server is not ready")


def resident_kilobytes(process: subprocess.Popen[str]) -> int:
    """Return the memory of a process in kilobytes, 0 without /proc."""
    with contextlib.suppress(FileNotFoundError):  # there is no /proc everywhere
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return 0


def answers(found: connection.Connection) -> bool:
    """Return whether the server accepts its user's token."""
    answer = httpx.get(found.host + ME, headers={"Authorization": f"Bearer {found.token}"})
    return bool(answer.json()["userName"] == found.user)


def test_it_is_ready_when_it_says_so(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """The connection file is private, and the server answers as soon as it exists."""
    process = serve()
    found = wait_until_ready(process, home)
    assert answers(found)
    assert (found.pid, found.user, found.home) == (process.pid, "user@example.com", home)
    assert stat.S_IMODE((home / "sandbox.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    serve: Callable[..., subprocess.Popen[str]], home: Path, number: signal.Signals
) -> None:
    """A signal ends the server with status 0, no output, and no connection file."""
    process = serve()
    wait_until_ready(process, home)
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")
    assert not (home / "sandbox.json").exists()


def test_a_client_that_does_not_finish_cannot_keep_it(
    serve: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    """An unfinished request does not delay the end."""
    process = serve()
    found = wait_until_ready(process, home)
    with socket.create_connection(("127.0.0.1", int(found.host.rsplit(":", 1)[1]))) as half:
        request = "PUT /api/2.0/fs/files/Volumes/main/default/data/a HTTP/1.1\r\nHost: localhost\r\n"
        half.sendall(f"{request}Authorization: Bearer {found.token}\r\nContent-Length: 10\r\n\r\n12".encode())
        time.sleep(0.2)
        process.terminate()
        process.communicate(timeout=15)
    assert process.returncode == 0


def test_token_and_port_stay_the_same(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """The port and the token are kept, so a profile works after a restart."""
    found = []
    for _ in range(2):
        process = serve()
        found.append(wait_until_ready(process, home))
        process.terminate()
        process.communicate(timeout=20)
    assert (found[0].host, found[0].token) == (found[1].host, found[1].token)


def test_another_port_if_the_last_one_is_taken(
    serve: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    """If the last port is in use, the server starts on another one."""
    process = serve()
    first = wait_until_ready(process, home)
    process.terminate()
    process.communicate(timeout=20)
    with socket.create_server(("127.0.0.1", int(first.host.rsplit(":", 1)[1]))):
        second = wait_until_ready(serve(), home)
    assert first.host != second.host
    assert answers(second)


def test_a_second_server_on_the_same_home(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """A second server is refused with the address of the first one, which keeps running."""
    process = serve()
    first = wait_until_ready(process, home)
    second = serve()
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1
    assert errors.count("\n") == 1
    assert first.host in errors
    assert answers(first)
    assert connection.read(home) == first


def test_a_busy_port(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """A requested port is in use: one line, exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = serve("--port", port)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert port in errors
    assert connection.read(home) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104 - refused
def test_it_listens_on_this_machine_only(
    serve: Callable[..., subprocess.Popen[str]], home: Path, host: str
) -> None:
    """Any other address is refused in one line."""
    process = serve("--host", host)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.count("\n")) == (1, 1)
    assert not home.exists()


def test_a_killed_server_leaves_nothing_in_the_way(
    serve: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    """The connection file of a killed server is ignored, and the next server starts."""
    process = serve()
    wait_until_ready(process, home)
    process.kill()
    process.communicate()
    assert (home / "sandbox.json").exists()
    assert connection.read(home) is None
    assert answers(wait_until_ready(serve(), home))


def test_a_connection_file_that_names_another_process(home: Path) -> None:
    """A reused process id is not taken for the sandbox."""
    home.mkdir(parents=True)
    saved = {"host": "http://127.0.0.1:1", "token": "t", "user": "u", "pid": os.getpid()}
    (home / "sandbox.json").write_text(json.dumps(saved))
    assert connection.read(home) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": 1}', "\udcff"])
def test_a_connection_file_that_cannot_be_read(home: Path, content: str) -> None:
    """An unreadable connection file is ignored."""
    home.mkdir(parents=True)
    (home / "sandbox.json").write_bytes(content.encode(errors="surrogateescape"))
    assert connection.read(home) is None


def test_the_home_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home in the environment overrides the user's data folder."""
    monkeypatch.setenv("KEDRO_DATABRICKS_SANDBOX_HOME", str(tmp_path / "named"))
    assert connection.default_home() == tmp_path / "named"
    monkeypatch.delenv("KEDRO_DATABRICKS_SANDBOX_HOME")
    assert connection.default_home().name == "sandbox"


def test_everything_is_its_owners_alone(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """Other users can read no file or folder, also no uploads; long paths are cut in the log."""
    found = wait_until_ready(serve(), home)
    headers = {"Authorization": f"Bearer {found.token}"}
    with httpx.Client(base_url=found.host, headers=headers) as client:
        assert client.get("/" + "x" * 50_000).status_code == 404
        client.put("/api/2.0/fs/files/Volumes/main/default/data/a/b", content=b"x")
        client.post("/api/2.0/dbfs/put", json={"path": "/a/b", "contents": "eA=="})
    open_to_others = [path for path in [home, *home.rglob("*")] if path.lstat().st_mode & 0o077]
    assert open_to_others == []
    (line,) = [each for each in (home / "server.log").read_text().splitlines() if "/xxxx" in each]
    assert 1000 < len(line) < 1100


def test_a_home_that_cannot_be_used(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """A home that cannot be used: one line with the reason."""
    home.parent.mkdir(parents=True)
    home.write_text("a file")
    process = serve()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert str(home) in errors


def test_it_is_ready_soon_and_small(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """The server imports no heavy packages and uses less than 150 MB of memory."""
    process = serve()
    wait_until_ready(process, home)
    script = (
        "import sys, kedro_databricks_hybrid.sandbox.app;"
        "print([name for name in ('kedro', 'pyspark', 'pandas', 'databricks', 'IPython', 'grpc', 'numpy')"
        " if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    assert resident_kilobytes(process) < 150_000


def test_a_large_upload_is_not_held_in_memory(
    serve: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    """A large upload is streamed to disk, and other requests are answered at the same time."""
    process = serve()
    found = wait_until_ready(process, home)
    slowest = 0.0
    chunk = bytes(1024 * 1024)

    def content() -> Iterator[bytes]:
        nonlocal slowest
        for number in range(200):
            if number % 20 == 0:
                began = time.monotonic()
                assert answers(found)
                slowest = max(slowest, time.monotonic() - began)
            yield chunk

    with httpx.Client(base_url=found.host, headers={"Authorization": f"Bearer {found.token}"}) as client:
        path = "/api/2.0/fs/files/Volumes/main/default/data/large"
        assert client.put(path, content=content(), timeout=120).status_code == 204
        assert client.head(path).headers["content-length"] == str(200 * 1024 * 1024)
    assert resident_kilobytes(process) < 150_000
    assert slowest < 5


def test_a_clone_that_hangs_ends_with_the_server(
    serve: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    """The server does not wait for it, and git is killed."""
    process = serve()
    found = wait_until_ready(process, home)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/never.git"
        body = json.dumps({"url": url, "provider": "gitHub"}).encode()
        with socket.create_connection(("127.0.0.1", int(found.host.rsplit(":", 1)[1]))) as client:
            client.sendall(
                f"POST /api/2.0/repos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {found.token}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            git, _ = silent.accept()
            with git:
                git.settimeout(20)
                assert git.recv(1000).startswith(b"GET /never.git")
                process.terminate()
                process.communicate(timeout=20)
                assert process.returncode == 0
                assert git.recv(1000) == b"", "git still holds its connection"


def test_a_damaged_document_is_named(serve: Callable[..., subprocess.Popen[str]], home: Path) -> None:
    """A damaged state file is named in one line and kept."""
    (home / "state").mkdir(parents=True)
    (home / "state/clusters.json").write_text("{")
    process = serve()
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.count("\n")) == (1, 1)
    assert "clusters.json is damaged" in errors
    assert (home / "state/clusters.json").read_text() == "{"
