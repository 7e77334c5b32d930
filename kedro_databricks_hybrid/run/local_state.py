"""What this machine remembers of runs.

Which execution context belongs to which project, so that runs start warm; and how far the log of a run has
been shown, so that `attach` continues where the screen stopped.
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
class Remembered:
    """A context that an earlier command made.

    Args:
        context_id: Its id.
        requirements: The hash of the requirements installed in it.
        run_id: The last run that was started in it.
    """

    context_id: str
    requirements: str | None = None
    run_id: str | None = None


class ContextStore:
    """Small JSON files in the user's state folder, outside every project: one an entry.

    So commands in two projects at once do not lose each other's entries.

    Args:
        folder: Where the files are; None takes the user's state folder, or the one that
            KEDRO_DATABRICKS_STATE names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder() / "contexts"

    def get(self, key: str) -> Remembered | None:
        """Return what is remembered under a key; an unreadable file is the same as none."""
        try:
            entry = json.loads(self._file(key).read_text("utf-8"))
            return Remembered(**entry["context"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def put(self, key: str, remembered: Remembered | None) -> None:
        """Remember, or forget with None; the file is replaced whole."""
        if remembered:
            entry = {"key": key, "context": asdict(remembered)}
            replace_file(self._file(key), json.dumps(entry, indent=1), mode=_PRIVATE)
        else:
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def state_folder() -> Path:
    """Return where this user's commands keep what they remember."""
    import platformdirs

    return Path(os.environ.get(STATE_VARIABLE) or platformdirs.user_state_path("kedro-databricks-hybrid"))


@dataclass(frozen=True)
class LogPosition:
    """A place in a log.

    Args:
        file: The number of the log's next file.
        record: The number of the last record that was shown.
        nodes: What the records before it told of the nodes.
    """

    file: int
    record: int
    nodes: dict[str, Any]


class Bookmark:
    """A small file in the user's state folder, for one run.

    Args:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        self._path = state_folder() / "shown" / f"{run_id}.json"

    def read(self) -> LogPosition | None:
        """Return where the screen stopped; None where the run was never shown, or to its end."""
        try:
            return LogPosition(**json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def move(self, place: LogPosition) -> None:
        """Note a place."""
        replace_file(self._path, json.dumps(vars(place)), mode=_PRIVATE)

    def remove(self) -> None:
        """Forget the run: it has been shown to its end."""
        self._path.unlink(missing_ok=True)
