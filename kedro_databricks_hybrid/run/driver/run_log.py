"""The run log: numbered files of JSON lines, which the client reads while the run writes them."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_SECONDS = (0.2, 1.0)  # pause between two files: shortest after silence, longer with constant output
CHUNK_BYTES = 500_000  # one DBFS read returns at most 1 MB
TEXT_LIMIT = 100_000  # printed text that becomes one record
LAST_TRIES = 5
REDACTED = "[REDACTED]"
_REVEALED_IN = "kedro_databricks_hybrid.config.secrets"
_SHORTEST = 4
_TEXTS = ("text", "message", "template", "error", "traceback", "hint")


class RunLog:
    """Numbered JSON-lines files, each written under a temporary name and renamed, so readers see it whole.

    A process that was forked from this one, such as a worker of ParallelRunner, sends its records to
    `forward` instead of writing them.

    Args:
        folder: The log's folder; created if it is missing.

    Attributes:
        catch_up: Called before each record: adds what child processes wrote earlier.
        forward: Called in forked processes with each record.
        finished: The nodes that have finished.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = os.getpid()
        # Reentrant, since a garbage collection while it is held may print.
        self._lock = threading.RLock()
        self._pending: list[dict[str, Any]] = []
        self._open: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}  # lines without an end, by source
        self._chunks: list[bytes] = []
        self._number = 0
        self._file = 0
        self._closing = threading.Event()
        self.catch_up: Callable[[], None] = lambda: None
        self.forward: Callable[[dict[str, Any]], None] = lambda _: None
        self.finished: set[str] = set()
        self._thread = threading.Thread(target=self._flush_regularly, name="run-log", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether this process writes the log, rather than one that was forked from it."""
        return os.getpid() == self._process

    def add(self, event: str, **fields: object) -> None:
        """Append one record; thread-safe."""
        record = {"t": round(time.time(), 3), "event": event, **fields}
        if self.is_here:
            self.catch_up()
            self.take(record)
        else:
            self.forward(record)

    def say(self, message: str) -> None:
        """Append a warning of the driver itself, such as about a setting that cannot apply here."""
        self.add("log", level=logging.WARNING, name=__name__, message=message, path=__file__, line=0)

    def write(self, stream: str, text: str) -> None:
        """Append printed text; consecutive text of one stream becomes one record."""
        self.add("output", stream=stream, text=text)

    def take(self, record: dict[str, Any], source: int | None = None) -> None:
        """Append a record that is complete.

        Args:
            record: Its fields, except its number.
            source: What wrote it; None for this thread. The lines of two sources are not mixed.
        """
        source = source or threading.get_ident()
        with self._lock:
            if record["event"] == "output":
                self._take_text(record, source)
                return
            if record["event"] == "node_finished":
                self.finished.add(record["node"])
            for stream in ("stdout", "stderr"):
                self._open.pop((stream, source), None)
            self._pending.append(record)

    def _take_text(self, record: dict[str, Any], source: int) -> None:
        """Append text to the incomplete line of its source, to the last record, or as a new record."""
        text, key = record["text"], (record["stream"], source)
        last = self._pending[-1] if self._pending else {}
        if key in self._open:
            known, index = self._open.pop(key)
            known["text"][index] += text
        else:
            is_continued = last.get("stream") == record["stream"] and last["size"] <= TEXT_LIMIT
            known = last if is_continued else {**record, "text": [], "size": 0}
            if not is_continued:
                self._pending.append(known)
            index = len(known["text"])
            known["text"].append(text)
        known["size"] += len(text)
        if not text.endswith("\n"):
            self._open[key] = known, index

    def close(self, **end: object) -> None:
        """Write all pending records and the end record, then end.json.

        Raises:
            OSError: The folder cannot be written, even after several tries.
        """
        end = _redacted(end)
        self.add("end", **end)
        self._closing.set()
        self._thread.join()
        self._patiently(self._flush)
        self._patiently(lambda: self._replace("end.json", json.dumps(end).encode()))

    @staticmethod
    def _patiently(write: Callable[[], object]) -> None:
        tries = 1
        while True:
            try:
                write()
            except OSError:
                if tries == LAST_TRIES:
                    raise
            else:
                return
            time.sleep(tries)
            tries += 1

    def _flush_regularly(self) -> None:
        shortest, longest = FLUSH_SECONDS
        pause = shortest
        while not self._closing.wait(pause):
            with contextlib.suppress(OSError):  # the files that were not written are tried again
                pause = min(pause * 1.5, longest) if self._flush() else shortest

    def _flush(self) -> bool:
        with self._lock:
            records, self._pending, self._open = self._pending, [], {}
        size = 0
        lines: list[bytes] = []
        for record in records:
            self._number += 1
            line = encoded({"n": self._number, **record})
            if lines and size + len(line) > CHUNK_BYTES:
                self._chunks.append(b"\n".join(lines) + b"\n")
                size, lines = 0, []
            lines.append(line)
            size += len(line) + 1
        if lines:
            self._chunks.append(b"\n".join(lines) + b"\n")
        while self._chunks:
            self._replace(f"{self._file + 1:06d}.jsonl", self._chunks[0])
            self._file += 1
            del self._chunks[0]
        return bool(records)

    def _replace(self, name: str, content: bytes) -> None:
        draft = self._folder / f"{name}.part"
        draft.write_bytes(content)
        draft.replace(self._folder / name)


def encoded(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON; one that cannot be written is replaced by text that says so."""
    try:
        if record["event"] == "output":
            record = {name: value for name, value in record.items() if name != "size"}
            record["text"] = "".join(record["text"])
        return _line(_redacted(record))
    except Exception as error:  # noqa: BLE001 - records may contain any object of the project
        reason = f"{type(error).__name__}: {error}"
        text = f"A record of the run log ({record['event']}) could not be written: {reason}\n"
        known = {"n": record["n"], "t": record["t"]}
        return _line({**known, "event": "output", "stream": "stderr", "text": text})


def redacted(text: str) -> str:
    """Return a text without the secrets that this process has read; shorter values are no secrets."""
    known = getattr(sys.modules.get(_REVEALED_IN), "revealed", ())
    for value in sorted((each for each in known if len(each) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(value, REDACTED)
    return text


def _redacted(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: redacted(record[name]) for name in _TEXTS if isinstance(record.get(name), str)
    }
    if "args" in record:
        found["args"] = [redacted(each) for each in record["args"]]
    return {**record, **found}


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", _ESCAPE)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Replace a surrogate by its escape as text, since an escape in JSON would be a surrogate again."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(f"\\\\u{ord(each):04x}" for each in text), error.end


_ESCAPE = "kedro-databricks-escape"
codecs.register_error(_ESCAPE, _escaped)
