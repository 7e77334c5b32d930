"""What is known of the contents below a data root, kept beside the data for everyone who pushes to it.

Each push adds a file of its own; nobody rewrites another's. So two people who push at once do not undo each
other, and no lock is needed, which the APIs could not give. The versions in the entries come from one clock,
the server's, and decide which of two entries for a path is the newer.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.concurrency import run_all
from kedro_databricks_hybrid.transfer.files import OURS, Content, Entry, Version, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from kedro_databricks_hybrid.transfer.files import RemoteFile
    from kedro_databricks_hybrid.transfer.plan import Pair
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

FOLDER = PurePosixPath(OURS, "manifest")
_SUFFIX = ".json.gz"
_MANY = 4
"""Files that a manifest has at most, but for pushes at the same time."""

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
            path_of(path): Entry(Version(int(size), int(modified)), str(digest))
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


class Copies:
    """Copies here of manifest files there, which nobody changes once they are written.

    Args:
        data: The local data folder; where there is none, nothing is kept.
        name: The folder of the copies among this tool's own files.
    """

    def __init__(self, data: Path, name: str) -> None:
        self._data = data
        self._name = name

    def read(self, tree: RemoteTree, path: PurePosixPath) -> Entries:
        """Return what a manifest file says, from its copy if there is a whole one."""
        copy = local.own_path(self._data, self._name) / path.name
        try:
            kept = from_bytes(copy.read_bytes())
        except OSError:
            kept = {}
        if kept:
            return kept
        content = tree.read(path)
        entries = from_bytes(content)
        if content and entries:
            self.keep(path, content)
        return entries

    def keep(self, path: PurePosixPath, content: bytes) -> None:
        """Keep a copy."""
        if self._data.is_dir():
            local.write_own(self._data, f"{self._name}/{path.name}", content)

    def keep_only(self, paths: Collection[PurePosixPath]) -> None:
        """Remove the copies of all other files."""
        names = {path.name for path in paths}
        for copy in local.own_path(self._data, self._name).glob("*"):
            if copy.name not in names:
                copy.unlink(missing_ok=True)


class Manifest:
    """The manifest of one data root, as it was when it was read.

    Args:
        tree: The data root.
        copies: The copies of its files here.
        files: The files that it consists of and what each says; empty on a root that nobody pushed to.
    """

    def __init__(self, tree: RemoteTree, copies: Copies, files: dict[PurePosixPath, Entries]) -> None:
        self._tree = tree
        self._copies = copies
        self._files = files
        self.entries = merge(files[path] for path in sorted(files))

    @classmethod
    def read(cls, tree: RemoteTree, copies: Copies) -> Manifest | None:
        """Read it; None where nobody has pushed to this root yet."""
        listing = tree.list(FOLDER)
        if listing is None:
            return None
        names = sorted(file.path for file in listing.files if file.path.name.endswith(_SUFFIX))
        read = run_all(lambda path: copies.read(tree, path), names)
        copies.keep_only(names)
        return cls(tree, copies, dict(zip(names, read, strict=True)))

    def add(self, entries: Entries) -> None:
        """Store what became known, in a file of its own that takes in the smallest ones if there are many."""
        if not entries:
            return
        by_size = sorted(self._files, key=lambda path: len(self._files[path]))
        taken = by_size[: max(0, len(by_size) - _MANY + 1)]
        together = merge([*(self._files[path] for path in taken), entries])
        content = as_bytes(together)
        name = FOLDER / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
        self._tree.write(name, content)
        self._copies.keep(name, content)
        run_all(self._tree.delete, taken)
        self._files = {path: each for path, each in self._files.items() if path not in taken}
        self._files[name] = together
        self.entries = merge([self.entries, entries])


@dataclass(frozen=True)
class Memory:
    """What is remembered of remote contents.

    Args:
        manifest: What all who push noted beside the data.
        clone: What this clone had in step.
    """

    manifest: Mapping[PurePosixPath, Entry]
    clone: Mapping[PurePosixPath, Entry]

    def contents(self, files: Mapping[PurePosixPath, RemoteFile]) -> dict[PurePosixPath, Content]:
        """Return the contents of those files that are still in a version which is remembered."""
        known = {}
        for path, file in files.items():
            for entries in (self.manifest, self.clone):
                entry = entries.get(path)
                if entry and file.modified and entry.version == file.version:
                    known[path] = entry.content
        return known


def with_contents(tree: RemoteTree, pairs: Sequence[Pair], unclear: Callable[[Pair], bool]) -> list[Pair]:
    """Read the remote files that nobody remembers and return the pairs with their contents.

    Args:
        tree: The data root.
        pairs: What is known so far.
        unclear: Which of them have to be read.
    """
    asked = [pair for pair in pairs if unclear(pair)]
    answers = run_all(lambda pair: _content_there(tree, pair), asked)
    holds = dict(zip((pair.path for pair in asked), answers, strict=True))
    return [replace(pair, holds=holds[pair.path]) if pair.path in holds else pair for pair in pairs]


def _content_there(tree: RemoteTree, pair: Pair) -> Content | None:
    if pair.there is None:
        return None
    digest = hashlib.sha256()
    for chunk in tree.chunks(pair.path, pair.there.size):
        digest.update(chunk)
    return Content(digest.hexdigest(), pair.there.size)
