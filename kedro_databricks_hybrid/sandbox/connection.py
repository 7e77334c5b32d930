"""How a client finds the running sandbox: `sandbox.json` in its home.

Imports nothing of the server, so that the client side can use it at no cost.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from kedro_databricks_hybrid.sandbox import home_lock
from kedro_databricks_hybrid.sandbox.atomic import write_atomically

HOME_VARIABLE = "KEDRO_DATABRICKS_SANDBOX_HOME"
CONNECTION_FILE = "sandbox.json"


@dataclass(frozen=True)
class Connection:
    """What a client needs to use a running sandbox, and the process that serves it."""

    host: str
    token: str
    user: str
    pid: int
    home: Path


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
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return connection if home_lock.is_owned(home) else None


def write(connection: Connection) -> None:
    """Announce a server that accepts connections; the file is readable by its owner only."""
    saved = {
        "host": connection.host,
        "token": connection.token,
        "user": connection.user,
        "pid": connection.pid,
    }
    write_atomically(connection.home / CONNECTION_FILE, json.dumps(saved, indent=2).encode())


def remove(home: Path) -> None:
    """Withdraw the announcement."""
    (home / CONNECTION_FILE).unlink(missing_ok=True)
