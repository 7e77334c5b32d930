"""What local files hold, remembered so that an unchanged file is not read again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer import local, own_folder
from kedro_databricks_hybrid.transfer.files import Content, Stamp, stamp_of

if TYPE_CHECKING:
    import os
    from pathlib import Path, PurePosixPath

_FILE = "digests.json"
_TOO_FRESH_NS = 2_000_000_000
"""A file modified this shortly before it was read may change again with the same time stamp."""


class Digests:
    """Digests of the files of one data folder.

    A file counts as unchanged while its size, its modification time and its inode's change time are the same.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._changed = False
        try:
            stored = json.loads(own_folder.path(data, _FILE).read_text(encoding="utf-8"))
            self._known = {path: (tuple(stamp), digest) for path, (stamp, digest) in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # then every file is read

    def content(self, file: Path, path: PurePosixPath, status: os.stat_result) -> Content:
        """Return a file's content, read only if need be.

        Args:
            file: Where it is.
            path: Its path relative to the data folder.
            status: Its status before it is read.
        """
        known = self.known(path, status)
        if known:
            return known
        content = local.content_of(file)
        self.note(path, stamp_of(status), content)
        return content

    def known(self, path: PurePosixPath, status: os.stat_result) -> Content | None:
        """Return the content of a file that has not changed since it was read, None of any other."""
        known = self._known.get(str(path))
        return Content(known[1], status.st_size) if known and known[0] == stamp_of(status) else None

    def note(self, path: PurePosixPath, stamp: Stamp, content: Content) -> None:
        """Remember what was read while a file had a stamp."""
        _, modified, changed = stamp
        if time.time_ns() - max(modified, changed) > _TOO_FRESH_NS:
            self._known[str(path)] = (stamp, content.digest)
            self._changed = True

    def save(self) -> None:
        """Keep them for the next time."""
        if self._changed:
            own_folder.write(self._data, _FILE, json.dumps(self._known))
