"""The journal of an upload: which blocks or parts have arrived, so that the next push can resume it."""

from __future__ import annotations

import contextlib
import json
from typing import IO, TYPE_CHECKING, Any

from kedro_databricks_hybrid.disk import lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Record = dict[str, Any]


class UnfinishedUpload:
    """The records of one upload that has not finished, one JSON object a line.

    One process at a time has them: another one that sends the same file reads none and writes none.

    Args:
        path: The journal file; None stores nothing.
        of: Identifies the content that is sent, in JSON; records about another content are not resumed.
    """

    def __init__(self, path: Path | None = None, of: Sequence[object] = ()) -> None:
        self._path = path
        self._of = list(of)
        self._file = _locked(path) if path else None
        self.records: list[Record] = []
        if self._file is not None:
            self._file.seek(0)
            self.records = parsed(self._file.read())

    @property
    def is_of_this_content(self) -> bool:
        """Whether the records are about the content that is sent now."""
        return bool(self.records) and self.records[0].get("of") == self._of

    def begin(self, **record: Any) -> None:  # noqa: ANN401 - JSON
        """Discard all records and write the first one of a new upload."""
        if self._file is not None:
            self._file.truncate(0)
        self.records = []
        self.note(of=self._of, **record)

    def note(self, **record: Any) -> None:  # noqa: ANN401 - JSON
        """Add a record."""
        self.records.append(record)
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def forget(self) -> None:
        """Discard all records: the upload is complete or aborted."""
        self.records = []
        if self._file is not None:
            self._file.truncate(0)
            self.close()

    def close(self) -> None:
        """Unlock the journal for other processes; without records its file is removed."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._file = None
            if not self.records:
                with contextlib.suppress(OSError):  # Windows: another process has it open
                    self._path.unlink()


def parsed(text: str) -> list[Record]:
    """Return the records in a text whose last line may be incomplete."""
    records: list[Record] = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records


def _locked(path: Path) -> IO[str] | None:
    """Open and lock a file; None if another process has it. The lock ends with the process."""
    file: IO[str] | None = None
    try:
        file = path.open("a+", encoding="utf-8")
        lock(file.fileno())
    except OSError:
        if file is not None:
            file.close()
        return None
    return file
