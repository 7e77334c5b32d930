"""The progress of a transfer."""

from __future__ import annotations

import threading


class Progress:
    """Counts files and bytes; a command displays them by overriding `begin`, `show` and `end`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.files = 0
        self.bytes = 0
        self.all_files = 0
        self.all_bytes = 0

    def begin(self, files: int, size: int) -> None:
        """Set the totals and start counting at zero."""
        self.files = self.bytes = 0
        self.all_files, self.all_bytes = files, size

    def advance(self, size: int) -> None:
        """Add bytes; a negative number subtracts bytes that will be transferred again."""
        with self._lock:
            self.bytes += size
            self.show()

    def file_done(self) -> None:
        """Add a file."""
        with self._lock:
            self.files += 1
            self.show()

    def show(self) -> None:
        """Display the counts; called often, by one thread at a time."""

    def end(self) -> None:
        """Remove the display."""
