"""What is known of the contents below a data root, kept beside the data for everyone who pushes to it.

Each push adds a file of its own; nobody rewrites another's. So two people who push at once do not undo each
other, and no lock is needed, which the APIs could not give. The versions in the entries come from one clock,
the server's, and decide which of two entries for a path is the newer.
"""

from __future__ import annotations

import gzip
import json
import secrets
import time
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer.files import OURS, Entry, Version
from kedro_databricks_hybrid.transfer.pool import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro_databricks_hybrid.transfer.remote import RemoteTree

FOLDER = PurePosixPath(OURS, "manifest")
_SUFFIX = ".json.gz"
_MANY = 4
"""With this many files, the next one takes all of them in and they are removed."""

Entries = dict[PurePosixPath, Entry]


def as_bytes(entries: Mapping[PurePosixPath, Entry]) -> bytes:
    """Return entries as they are stored: gzip, whose checksum tells a whole file from a part of one."""
    files = {
        str(path): [entry.digest, entry.version.size, entry.version.modified]
        for path, entry in entries.items()
    }
    return gzip.compress(json.dumps({"version": 1, "files": files}, sort_keys=True).encode(), mtime=0)


def from_bytes(content: bytes | None) -> Entries:
    """Return stored entries; a file that is gone or cannot be read says nothing, so contents get compared."""
    if not content:
        return {}
    try:
        files = json.loads(gzip.decompress(content))["files"]
        return {
            PurePosixPath(path): Entry(Version(int(size), int(modified)), str(digest))
            for path, (digest, size, modified) in files.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OSError, EOFError, zlib.error):
        return {}


def merge(several: Iterable[Mapping[PurePosixPath, Entry]]) -> Entries:
    """Return the newest entry for each path."""
    merged: Entries = {}
    for entries in several:
        for path, entry in entries.items():
            known = merged.get(path)
            if known is None or known.version.modified <= entry.version.modified:
                merged[path] = entry
    return merged


class Manifest:
    """The manifest of one data root, as it was when it was read.

    Args:
        tree: The data root.
        names: The files that it consists of; empty on a root that nobody pushed to.
        entries: What they say together.
    """

    def __init__(self, tree: RemoteTree, names: list[PurePosixPath], entries: Entries) -> None:
        self._tree = tree
        self._names = names
        self.entries = entries

    @classmethod
    def read(cls, tree: RemoteTree) -> Manifest | None:
        """Read it; None where nobody has pushed to this root yet."""
        listing = tree.list(FOLDER)
        if listing is None:
            return None
        names = sorted(file.path for file in listing.files if file.path.name.endswith(_SUFFIX))
        return cls(tree, names, merge(from_bytes(content) for content in run_all(tree.read, names)))

    def add(self, entries: Entries) -> None:
        """Store what became known, in a file of its own."""
        if not entries:
            return
        gather = len(self._names) >= _MANY
        content = as_bytes(merge([self.entries, entries]) if gather else entries)
        name = FOLDER / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
        self._tree.write(name, content)
        if gather:
            run_all(self._tree.delete, self._names)
            self._names = []
        self._names.append(name)
        self.entries = merge([self.entries, entries])
