"""Which execution context belongs to which project: remembered between commands, so that runs start warm."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

STATE_VARIABLE = "KEDRO_DATABRICKS_STATE"


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
            replace_file(self._file(key), json.dumps(entry, indent=1))
        else:
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader finds it whole, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(draft).replace(path)


def state_folder() -> Path:
    """Return where this user's commands keep what they remember."""
    import platformdirs

    return Path(os.environ.get(STATE_VARIABLE) or platformdirs.user_state_path("kedro-databricks-hybrid"))
