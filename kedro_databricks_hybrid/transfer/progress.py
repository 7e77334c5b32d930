"""What a transfer reports while it works."""

from __future__ import annotations

import threading


class Progress:
    """Counts files and bytes; a command shows them by overriding `begin`, `show` and `end`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.files = 0
        self.bytes = 0
        self.all_files = 0
        self.all_bytes = 0

    def begin(self, files: int, size: int) -> None:
        """Take note of how much there is to do."""
        self.files = self.bytes = 0
        self.all_files, self.all_bytes = files, size

    def advance(self, size: int) -> None:
        """Count bytes; a negative number takes back what has to be done again."""
        with self._lock:
            self.bytes += size
            self.show()

    def file_done(self) -> None:
        """Count a file."""
        with self._lock:
            self.files += 1
            self.show()

    def show(self) -> None:
        """Show the counts; called often, by one thread at a time."""

    def end(self) -> None:
        """Stop showing."""
