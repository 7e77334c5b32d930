"""The sandbox's process: problems when it is started, found and stopped."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from kedro_databricks_hybrid.cli import sandbox_process
from kedro_databricks_hybrid.cli.sandbox import sandbox
from kedro_databricks_hybrid.errors import SandboxError
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty home folder, so that no sandbox runs."""
    monkeypatch.setenv(connection.HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that ignores SIGTERM."""
    started = subprocess.Popen([sys.executable, "-c", _STUBBORN], stdout=subprocess.PIPE)
    assert started.stdout
    started.stdout.readline()
    yield started
    started.kill()
    started.communicate()


def call(*arguments: str, status: int = 0, answer: str | None = None) -> Result:
    """Call `kedro databricks sandbox` in this process and check its exit status."""
    result = CliRunner().invoke(sandbox, arguments, input=answer)
    assert result.exit_code == status, result.output
    return result


def test_what_it_needs_is_named(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Without the sandbox extra, nothing is started, and the message says how to install it."""
    monkeypatch.setattr(
        sandbox_process, "find_spec", lambda name: None if name in {"uvicorn", "psutil"} else name
    )
    said = call("start", status=1).output
    assert "The sandbox needs uvicorn, psutil." in said
    assert "pip install 'kedro-databricks-hybrid[sandbox]'" in said
    assert not home.exists()


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A sandbox that does not start in time is ended, and the hint names its log."""
    monkeypatch.setattr(sandbox_process, "_START_SECONDS", 0)
    with pytest.raises(SandboxError, match=r"did not start: it printed nothing\.") as caught:
        sandbox_process.start(None)
    assert str(home / "start.log") in (caught.value.hint or "")
    assert sandbox_process.running() is None


def test_what_a_killed_server_left_is_not_the_new_ones(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The connection file of a killed server is not taken for that of the server that is starting."""
    home.mkdir()
    killed = Connection("http://127.0.0.1:9", "x", "ann", 41, home)
    connection.write(killed)
    new = dataclasses.replace(killed, pid=42)

    class Started:
        def __init__(self, *_: object, **__: object) -> None:
            self.lock = connection.acquire_home(home)
            assert connection.read(home) == killed

        def poll(self) -> None:
            connection.write(new)

    monkeypatch.setattr(subprocess, "Popen", Started)
    assert sandbox_process.start(None) == new


def test_one_that_does_not_stop(
    monkeypatch: pytest.MonkeyPatch, home: Path, process: subprocess.Popen[bytes]
) -> None:
    """A sandbox does not stop: the error names the process and the command that ends it."""
    monkeypatch.setattr(sandbox_process, "_STOP_SECONDS", 0.1)
    with pytest.raises(SandboxError, match="did not stop") as caught:
        sandbox_process.stop(Connection("http://127.0.0.1:9", "x", "ann", process.pid, home))
    assert f"kill -9 {process.pid}" in (caught.value.hint or "")
    assert process.poll() is None


def test_one_whose_process_is_gone_has_stopped(home: Path) -> None:
    """Stopping succeeds if the process has ended and its parent has already waited for it."""
    ends = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    waiting = threading.Thread(target=ends.wait)
    waiting.start()
    sandbox_process.stop(Connection("http://127.0.0.1:9", "x", "ann", ends.pid, home))
    waiting.join()
    assert ends.returncode != 0


def test_where_it_runs(home: Path) -> None:
    """Status prints the address and the folder, and never the token."""
    home.mkdir()
    lock = connection.acquire_home(home)
    assert lock is not None
    try:
        connection.write(Connection("http://127.0.0.1:9", "dapi-made-up", "ann@example.com", 42, home))
        said = call("status").output
    finally:
        lock.release()
    assert "runs at http://127.0.0.1:9 as process 42, for ann@example.com." in said
    assert str(home) in said
    assert "Its kernels are namespace kernels." in said
    assert "dapi-made-up" not in said
    assert "not running" in call("status", status=1).output


def test_reset_of_nothing(home: Path) -> None:
    """Reset without a sandbox does nothing; the files of a stopped one are removed."""
    assert "nothing to remove" in call("reset", "--yes").output
    home.mkdir()
    (home / "kept.txt").touch()
    call("reset", answer="n\n", status=1)
    assert home.exists()
    assert f"Removed {home}" in call("reset", "--yes").output
    assert not home.exists()
