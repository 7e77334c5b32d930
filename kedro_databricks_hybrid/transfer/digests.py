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
        stamp = stamp_of(status)
        known = self._known.get(str(path))
        if known and known[0] == stamp:
            return Content(known[1], status.st_size)
        content = local.content_of(file)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _TOO_FRESH_NS:
            self._known[str(path)] = (stamp, content.digest)
            self._changed = True
        return content

    def save(self) -> None:
        """Keep them for the next time."""
        if self._changed:
            own_folder.write(self._data, _FILE, json.dumps(self._known))
