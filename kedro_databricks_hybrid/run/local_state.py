"""State about runs in the user's state folder.

Stores each project's execution context, so that runs start warm, and how far each log has been shown, so that
`attach` continues after the last record shown. For `status` it stores which files of a Git folder equal the
commit.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.disk import replace_file

STATE_VARIABLE = "KEDRO_DATABRICKS_STATE"
_PRIVATE = 0o600


@dataclass(frozen=True)
class StoredContext:
    """A context that an earlier command created.

    Args:
        context_id: Its id.
        requirements: The hash of the installed requirements.
        run_id: The last run started in it.
    """

    context_id: str
    requirements: str | None = None
    run_id: str | None = None


class ContextStore:
    """Contexts as JSON files in the user's state folder, one file per entry.

    With one file per entry, concurrent commands in two projects do not overwrite each other's entries.

    Args:
        folder: The folder of the files; None for `contexts` in the user's state folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder() / "contexts"

    def get(self, key: str) -> StoredContext | None:
        """Return the entry of a key; None if it is missing or unreadable."""
        try:
            entry = json.loads(self._file(key).read_text("utf-8"))
            return StoredContext(**entry["context"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def put(self, key: str, context: StoredContext | None) -> None:
        """Store an entry, or remove it with None; the file is replaced atomically."""
        if context:
            entry = {"key": key, "context": asdict(context)}
            replace_file(self._file(key), json.dumps(entry, indent=1), mode=_PRIVATE)
        else:
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / _file_name(key)


def _file_name(key: str) -> str:
    """Return a name that every disk takes for a key that may come from elsewhere."""
    return f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"


def state_folder() -> Path:
    """Return the user's state folder: KEDRO_DATABRICKS_STATE, or the platform's default."""
    import platformdirs

    return Path(os.environ.get(STATE_VARIABLE) or platformdirs.user_state_path("kedro-databricks-hybrid"))


class CheckedFiles:
    """Stores which files of a Git folder equal the commit, so that `status` need not read them again.

    Args:
        host: The workspace.
        path: The Git folder.
    """

    def __init__(self, host: str, path: str) -> None:
        self._path = state_folder() / "git_folders" / _file_name(f"{host} {path}")

    def read(self) -> dict[str, str]:
        """Return the stored version of each file by path."""
        try:
            stored = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def write(self, checked: dict[str, str]) -> None:
        """Store the versions."""
        replace_file(self._path, json.dumps(checked), mode=_PRIVATE)


@dataclass(frozen=True)
class LogPosition:
    """A position in a run log.

    Args:
        file: The number of the next file to read.
        record: The number of the last record shown.
        nodes: The nodes' state after that record, by name.
    """

    file: int
    record: int
    nodes: dict[str, Any]


class Bookmark:
    """Stores the position in one run's log, as a file in the user's state folder.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        self._path = state_folder() / "shown" / _file_name(run_id)

    def read(self) -> LogPosition | None:
        """Return the stored position; None if the log was never shown, or was shown to its end."""
        try:
            return LogPosition(**json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def move(self, position: LogPosition) -> None:
        """Store a position."""
        replace_file(self._path, json.dumps(vars(position)), mode=_PRIVATE)

    def remove(self) -> None:
        """Remove the stored position, as the log was shown to its end."""
        self._path.unlink(missing_ok=True)
