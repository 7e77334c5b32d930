"""Start, find and stop the sandbox's process."""

from __future__ import annotations

import os
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
_NEEDED = ("starlette", "uvicorn", "jupyter_client", "ipykernel", "psutil", "pyspark", "grpc_status")


def running() -> Connection | None:
    """Return the connection to the running sandbox, None if it is not running."""
    return connection.read()


def require_running() -> Connection:
    """Return the connection to the running sandbox.

    Raises:
        SandboxError: It is not running.
    """
    found = running()
    if found is None:
        raise SandboxError("The sandbox is not running.", hint="Start it: `kedro databricks sandbox start`.")
    return found


def start(port: int | None, like: str | None = None, kernels: str | None = None) -> Connection:
    """Start the sandbox and return when it answers.

    Args:
        port: Port on 127.0.0.1; None selects the port of the last start, or a free one.
        like: The kind of workspace, such as `free-edition`; None keeps the kind of the last start.
        kernels: The kind of its kernels: `namespace`, `bubblewrap`, `portable`, or None for the first of
            them that this machine allows.

    Raises:
        SandboxError: A package is not installed, or the process ended; the message has its last line.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"The sandbox needs {', '.join(missing)}.",
            hint="Install it: `pip install 'kedro-databricks-hybrid[sandbox]'`.",
        )
    home = connection.default_home()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home / "start.log"
    command = [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
    if port is not None:
        command += ["--port", str(port)]
    if like is not None:
        command += ["--like", like]
    if kernels is not None:
        command += ["--kernels", kernels]
    left_behind = connection.last_written(home)  # by a server that was killed; the new one removes it
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=home
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if (found := connection.read(home)) and found != left_behind:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    else:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    raise SandboxError(f"The sandbox did not start: {_last_line(log)}", hint=f"Its output is in {log}.")


def stop(running: Connection) -> None:
    """Stop the sandbox and everything that runs in it; return when its process has ended.

    Raises:
        SandboxError: It did not end in time.
    """
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while connection.read(running.home) is not None or not _has_ended(running.pid):
        if time.monotonic() > deadline:
            raise SandboxError(
                f"The sandbox did not stop within {_STOP_SECONDS:.0f} s.",
                hint=f"End its process: `kill -9 {running.pid}`.",
            )
        time.sleep(0.05)


def _has_ended(pid: int) -> bool:
    """Return whether a process has ended; a zombie has, though its parent did not wait for it yet."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def remove_home() -> Path | None:
    """Delete the home folder of the stopped sandbox; return it, or None if it does not exist.

    Raises:
        SandboxError: Something in it cannot be deleted.
    """
    home = connection.default_home()
    if not home.exists():
        return None
    if not connection.delete_home(home):
        raise SandboxError(
            f"Not everything in {home} could be deleted.", hint="Look there for files of other users."
        )
    return home


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing."
