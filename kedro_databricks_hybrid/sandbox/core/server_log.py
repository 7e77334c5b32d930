"""The server's log: bounded, whatever is asked of the server."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 10 * 1024 * 1024
_MAX_LINE = 1000


class ShortLines(logging.Formatter):
    """Formats records with the time; cuts long lines, such as those with a path from a request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return "\n".join(
            line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}... ({len(line)} characters)"
            for line in super().format(record).splitlines()
        )


def log_to(path: Path) -> None:
    """Write what this process logs to a file."""
    path.touch(mode=0o600)
    logging.basicConfig(handlers=[handler_of(path)], level=logging.INFO)


def handler_of(path: Path) -> logging.Handler:
    """Return a handler that writes to a file; when it is full, it replaces `<name>.1`."""
    handler = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(ShortLines())
    return handler
