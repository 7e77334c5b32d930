"""The sandbox as a process of its own: started, found, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import SandboxError
from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.connection import Connection

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_NEEDED = ("starlette", "uvicorn", "jupyter_client", "ipykernel", "psutil", "pyspark")


def running() -> Connection | None:
    """Return the connection to the sandbox that runs, None where none does."""
    return connection.read()


def require_running() -> Connection:
    """Return the connection to the sandbox that runs.

    Raises:
        SandboxError: None runs.
    """
    found = running()
    if found is None:
        raise SandboxError("The sandbox is not running.", hint="Start it: `kedro databricks sandbox start`.")
    return found


def start(port: int | None, kernels: str | None = None) -> Connection:
    """Start the sandbox and return once it answers.

    Args:
        port: Where to listen on 127.0.0.1; None takes the port that it had before, or a free one.
        kernels: The kind of its kernels; None takes what this machine allows.

    Raises:
        SandboxError: What it needs is not installed, or it ended; the message holds its last words.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"The sandbox needs {', '.join(missing)}.",
            hint="Install it: `pip install 'kedro-databricks-hybrid[sandbox]'`.",
        )
    home = connection.default_home()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = home / "start.log"
    command = [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
    if port is not None:
        command += ["--port", str(port)]
    if kernels is not None:
        command += ["--kernels", kernels]
    with words.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=home
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if found := connection.read(home):
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    else:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    said = _last_line(words)
    raise SandboxError(f"The sandbox did not start: {said}", hint=f"Its words are in {words}.")


def stop(running: Connection) -> None:
    """Ask the sandbox to end and wait until its process is gone, with everything that runs in it.

    Raises:
        SandboxError: It did not end in time.
    """
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while connection.read(running.home) is not None or not _is_gone(running.pid):
        if time.monotonic() > deadline:
            raise SandboxError(
                f"The sandbox did not stop within {_STOP_SECONDS:.0f} s.",
                hint=f"End its process by hand: `kill -9 {running.pid}`.",
            )
        time.sleep(0.05)


def _is_gone(pid: int) -> bool:
    """Tell whether a process is over; one that only waits for its parent to ask for its end is."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def remove_home() -> Path | None:
    """Delete the stopped sandbox's home; return it, or None where there was none."""
    home = connection.default_home()
    if not home.exists():
        return None
    shutil.rmtree(home)
    return home


def _last_line(words: Path) -> str:
    lines = words.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason."
