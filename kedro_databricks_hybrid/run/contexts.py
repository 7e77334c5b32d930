"""Which execution context belongs to which project: remembered between commands, so that runs start warm."""

from __future__ import annotations

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
    """A small JSON file in the user's state folder, outside every project.

    Args:
        path: The file; None takes the user's state folder, or the one that KEDRO_DATABRICKS_STATE names.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or state_folder() / "contexts.json"

    def get(self, key: str) -> Remembered | None:
        """Return what is remembered under a key; an unreadable file is the same as none."""
        entry = self._load().get(key)
        try:
            return Remembered(**entry) if entry else None
        except TypeError:
            return None

    def put(self, key: str, remembered: Remembered | None) -> None:
        """Remember, or forget with None; the file is replaced whole."""
        entries = self._load()
        entries.pop(key, None)
        if remembered:
            entries[key] = asdict(remembered)
        replace_file(self._path, json.dumps(entries, indent=1))

    def _load(self) -> dict[str, dict[str, str]]:
        try:
            entries = json.loads(self._path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


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
