"""A hostile or broken workspace: a proxy between a command and the sandbox that changes some answers."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.transfer.bad_line import CUT, RESET_AFTER, RESET_BEFORE, BadLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tests.transfer.bad_line import Fault, Request

_RATE = 0.2
_MOST_FAULTS = 3
_WRONG: tuple[object, ...] = (
    *(None, True, -1, 2**63, 1.5, "", "..", "\0", "x\n\x1b[2J"),
    *([], [1], {}, {"x": []}),
)
_FOREIGN = (
    "/etc/passwd", "..", "../../x", ".git/config", ".kedro-hybrid/digests.json", "a/../../x", "/", "", "x\0y",
    "\x1b[2Jx", "n" * 300, "conftest.py", "x\\..\\y",
)  # fmt: skip

MODES = ("wrong types", "foreign listings", "replays", "no JSON", "cuts", "resets", "delays")


@contextmanager
def proxy(port: int, mode: str, chance: Random) -> Iterator[str]:
    """Start a proxy to a local port that changes answers in this way, and yield its address."""
    line = BadLine(port)
    spoiler = _Spoiler(chance)
    if mode == "delays":
        line.delay = 0.2
    elif mode in {"cuts", "resets"}:
        faults = (CUT,) if mode == "cuts" else (RESET_BEFORE, RESET_AFTER)
        line.fault = lambda _: spoiler.fault(chance.choice(faults))
    else:
        line.rewrite = {
            "wrong types": spoiler.wrong,
            "foreign listings": spoiler.foreign,
            "replays": spoiler.replayed,
            "no JSON": spoiler.no_json,
        }[mode]
    try:
        yield line.url
    finally:
        line.close()


class _Spoiler:
    """Change some of the answers that pass through."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._lock = threading.Lock()
        self._faults = 0
        self._earlier: list[bytes] = []

    def fault(self, kind: Fault) -> Fault:
        """Return this fault for some requests, but for so few that some retry succeeds."""
        with self._lock:
            if self._faults < _MOST_FAULTS and self._chance.random() < _RATE:
                self._faults += 1
                return kind
            return None

    def wrong(self, request: Request, body: bytes) -> bytes:
        """Put a value of another type at a random position."""

        def replace(document: Any) -> Any:
            return _replaced(document, self._chance, self._chance.choice(_WRONG))

        return self._changed(body, replace)

    def foreign(self, request: Request, body: bytes) -> bytes:
        """Replace a path in an answer by a name that leads elsewhere, or that a program acts on."""

        def rename(document: Any) -> Any:
            entries = [
                each
                for entries in (document.values() if isinstance(document, dict) else ())
                if isinstance(entries, list)
                for each in entries
                if isinstance(each, dict) and "path" in each
            ]
            if entries:
                entry, name = self._chance.choice(entries), self._chance.choice(_FOREIGN)
                folder = str(entry["path"]).rpartition("/")[0]
                entry["path"] = name if self._chance.random() < 0.5 else f"{folder}/{name}"
            return document

        return self._changed(body, rename, rate=1.0)

    def replayed(self, request: Request, body: bytes) -> bytes:
        """Return the answer to another request."""
        with self._lock:
            self._earlier.append(body)
            if self._chance.random() < _RATE:
                return self._chance.choice(self._earlier)
        return body

    def no_json(self, request: Request, body: bytes) -> bytes:
        """Return an HTML page, as a proxy does."""
        with self._lock:
            is_chosen = self._chance.random() < _RATE
        return b"<html><title>Sign in</title></html>" if is_chosen else body

    def _changed(self, body: bytes, change: Callable[[Any], Any], rate: float = _RATE) -> bytes:
        try:
            document = json.loads(body)
        except ValueError:
            return body
        with self._lock:
            if self._chance.random() < rate:
                document = change(document)
        return json.dumps(document).encode()


def _replaced(document: Any, chance: Random, value: object) -> Any:
    """Return a document with this value at a random position, or only the value."""
    inside = document
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return value
        key = chance.choice(keys)
        if not isinstance(inside[key], (dict, list)) or not inside[key] or chance.random() < 0.3:
            inside[key] = value
            return document
        inside = inside[key]
