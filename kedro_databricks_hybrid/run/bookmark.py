"""How far a run's log has been shown on this machine, so that `attach` goes on where the screen stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kedro_databricks_hybrid.run.contexts import replace_file, state_folder


@dataclass(frozen=True)
class Place:
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

    def read(self) -> Place | None:
        """Return where the screen stopped; None where the run was never shown, or to its end."""
        try:
            return Place(**json.loads(self._path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def move(self, place: Place) -> None:
        """Note a place."""
        replace_file(self._path, json.dumps(vars(place)))

    def remove(self) -> None:
        """Forget the run: it has been shown to its end."""
        self._path.unlink(missing_ok=True)
