"""How a client finds the running sandbox: `sandbox.json` in its home, and who owns a home.

Imports nothing of the server, so that the client side can use it at no cost. A server owns its home by a lock
of the operating system, which ends with its process: unlike a process id in a file, it is never stale.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically

HOME_VARIABLE = "KEDRO_DATABRICKS_SANDBOX_HOME"
CONNECTION_FILE = "sandbox.json"
LOCK_FILE = "sandbox.lock"
NO_KERNELS = "none"
"""Stands for the kind of kernels where none can run."""

_LOCK_WAIT_SECONDS = 0.5  # readers hold a shared lock for an instant; a server outwaits them


@dataclass(frozen=True)
class Connection:
    """What a client needs to use a running sandbox, and the process that serves it.

    Attributes:
        kernels: How its notebooks see their folders: `namespace`, `portable` or `NO_KERNELS`.
    """

    host: str
    token: str
    user: str
    pid: int
    home: Path
    kernels: str = "namespace"


def default_home() -> Path:
    """Return the home that is meant when none is named."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_data_path("kedro-databricks-hybrid") / "sandbox"


def read(home: Path | None = None) -> Connection | None:
    """Return the connection to the sandbox that runs in `home`, or None where none runs.

    A file left behind by a server that was killed counts as none.
    """
    home = default_home() if home is None else home
    try:
        saved = json.loads((home / CONNECTION_FILE).read_bytes())
        connection = Connection(
            host=str(saved["host"]),
            token=str(saved["token"]),
            user=str(saved["user"]),
            pid=int(saved["pid"]),
            home=home,
            kernels=str(saved.get("kernels", "namespace")),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return connection if is_home_owned(home) else None


def write(connection: Connection) -> None:
    """Announce a server that accepts connections; the file is readable by its owner only."""
    saved = {
        "host": connection.host,
        "token": connection.token,
        "user": connection.user,
        "pid": connection.pid,
        "kernels": connection.kernels,
    }
    write_atomically(connection.home / CONNECTION_FILE, json.dumps(saved, indent=2).encode())


def remove(home: Path) -> None:
    """Withdraw the announcement."""
    (home / CONNECTION_FILE).unlink(missing_ok=True)


if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class HomeLock:
    """Exclusive ownership of a home, until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another server have the home."""
        os.close(self._descriptor)


def acquire_home(home: Path) -> HomeLock | None:
    """Own `home`, or return None because another server does."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while not _try_lock(descriptor, exclusive=True):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)
    return HomeLock(descriptor)


def is_home_owned(home: Path) -> bool:
    """Whether a living server owns `home`."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _try_lock(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
        del exclusive  # Windows has no shared kind; a reader holds the lock for an instant only
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
