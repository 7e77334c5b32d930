"""What an interrupted upload of a large file got done, so that the next push goes on from there."""

from __future__ import annotations

import contextlib
import json
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Fact = dict[str, Any]


class Unfinished:
    """Facts about one upload, a line of JSON each, written as they become true.

    Only one process at a time keeps them: another one that sends the same file finds none and keeps none.

    Args:
        place: The file that holds them; None keeps nothing.
        of: Names the content that is sent, in JSON: facts about another one are of no use.
    """

    def __init__(self, place: Path | None = None, of: Sequence[object] = ()) -> None:
        self._place = place
        self._of = list(of)
        self._file = _locked(place) if place else None
        self.facts: list[Fact] = []
        if self._file is not None:
            self._file.seek(0)
            self.facts = parsed(self._file.read())

    @property
    def is_of_this_content(self) -> bool:
        """Whether the facts are about what is to be sent now."""
        return bool(self.facts) and self.facts[0].get("of") == self._of

    def begin(self, **fact: Any) -> None:  # noqa: ANN401 - JSON
        """Forget what was known and note how an upload begins."""
        if self._file is not None:
            self._file.truncate(0)
        self.facts = []
        self.note(of=self._of, **fact)

    def note(self, **fact: Any) -> None:  # noqa: ANN401 - JSON
        """Note one more fact."""
        self.facts.append(fact)
        if self._file is not None:
            self._file.write(json.dumps(fact) + "\n")
            self._file.flush()

    def forget(self) -> None:
        """The upload is complete, or was given up."""
        self.facts = []
        if self._file is not None:
            self._file.truncate(0)
            self.close()

    def close(self) -> None:
        """Let other processes have it; where there is nothing to tell, nothing is left."""
        if self._file is not None and self._place is not None:
            self._file.close()
            self._file = None
            if not self.facts:
                with contextlib.suppress(OSError):  # Windows: somebody looks at it; empty it says nothing
                    self._place.unlink()


def parsed(text: str) -> list[Fact]:
    """Return the facts in a text whose last line may be cut off."""
    facts: list[Fact] = []
    for line in text.splitlines():
        try:
            fact = json.loads(line)
        except ValueError:
            break
        if not isinstance(fact, dict):
            break
        facts.append(fact)
    return facts


def _locked(place: Path) -> IO[str] | None:
    """Open a file for this process alone; the lock goes with the process, however that ends."""
    file: IO[str] | None = None
    try:
        file = place.open("a+", encoding="utf-8")
        lock(file.fileno())
    except OSError:
        if file is not None:
            file.close()
        return None
    return file


def lock(number: int) -> None:
    """Lock an open file for this process, or raise OSError because another one has locked it."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        locking: Any = vars(msvcrt)["locking"]
        locking(number, vars(msvcrt)["LK_NBLCK"], 1)
    else:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
