"""How a client finds the running sandbox, by `sandbox.json` in its home, and which server owns a home.

Imports nothing of the server, so that it costs the client little. A server owns its home by a file lock,
which ends with its process: unlike a process id in a file, it is never stale.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from kedro_databricks_hybrid.sandbox.core import lock
from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.lock import FileLock

HOME_VARIABLE = "KEDRO_DATABRICKS_SANDBOX_HOME"
CONNECTION_FILE = "sandbox.json"
LOCK_FILE = "sandbox.lock"
NO_KERNELS = "none"
"""The kind of kernels of a sandbox that can run none."""

_LOCK_WAIT_SECONDS = 0.5  # `is_home_owned` holds a shared lock for an instant


@dataclass(frozen=True)
class Connection:
    """Address and login of a running sandbox, and the process that serves it.

    Attributes:
        kernels: How its notebooks see their folders: `namespace`, `bubblewrap`, `portable` or `NO_KERNELS`.
    """

    host: str
    token: str
    user: str
    pid: int
    home: Path
    kernels: str = "namespace"


def default_home() -> Path:
    """Return the home to use when none is given."""
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_data_path("kedro-databricks-hybrid") / "sandbox"


def read(home: Path | None = None) -> Connection | None:
    """Return the connection to the sandbox that runs in `home`, or None if none runs.

    The file of a server that was killed is ignored. For an instant it is taken for that of a server that just
    started: compare the result with `last_written` if you start one.
    """
    home = default_home() if home is None else home
    found = last_written(home)
    return found if found and is_home_owned(home) else None


def last_written(home: Path) -> Connection | None:
    """Return the content of the connection file, also of a server that was killed; None without a file."""
    try:
        saved = json.loads((home / CONNECTION_FILE).read_bytes())
        return Connection(
            host=str(saved["host"]),
            token=str(saved["token"]),
            user=str(saved["user"]),
            pid=int(saved["pid"]),
            home=home,
            kernels=str(saved.get("kernels", "namespace")),
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write(connection: Connection) -> None:
    """Write the connection file of a server that accepts connections; only its owner can read it."""
    saved = {
        "host": connection.host,
        "token": connection.token,
        "user": connection.user,
        "pid": connection.pid,
        "kernels": connection.kernels,
    }
    write_atomically(connection.home / CONNECTION_FILE, json.dumps(saved, indent=2).encode())


def remove(home: Path) -> None:
    """Remove the connection file."""
    (home / CONNECTION_FILE).unlink(missing_ok=True)


def delete_home(home: Path) -> bool:
    """Delete a home in which no server runs; return whether all of it could be deleted."""
    remove_tree(home)
    return not home.exists()


def acquire_home(home: Path) -> FileLock | None:
    """Own `home`, or return None because another server does."""
    return lock.acquire(home / LOCK_FILE, _LOCK_WAIT_SECONDS)


def is_home_owned(home: Path) -> bool:
    """Whether a running server owns `home`."""
    return lock.is_locked(home / LOCK_FILE)
