"""The manifest of a data root: the contents of its files' versions, stored beside the data for all clones.

Each push adds a manifest file and never rewrites another push's. So two pushes at once do not overwrite each
other's entries, and no lock is needed; the APIs have none. Of two entries for a path, the one with the later
modification time counts; all of these times are from the server's clock.
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

from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import STATE_FOLDER, Content, Entry, Version, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from kedro_databricks_hybrid.transfer.files import RemoteFile
    from kedro_databricks_hybrid.transfer.plan import Pair
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

FOLDER = PurePosixPath(STATE_FOLDER, "manifest")
_SUFFIX = ".json.gz"
_MANY = 4
"""The most files in a manifest; pushes at the same time may add more."""

Entries = dict[PurePosixPath, Entry]


def as_bytes(entries: Mapping[PurePosixPath, Entry]) -> bytes:
    """Return entries as they are stored: gzip, whose checksum detects an incomplete file."""
    files = {
        str(path): [entry.digest, entry.version.size, entry.version.modified]
        for path, entry in entries.items()
    }
    return gzip.compress(json.dumps({"version": 1, "files": files}, sort_keys=True).encode(), mtime=0)


def from_bytes(content: bytes | None) -> Entries:
    """Return stored entries; none of a missing or damaged file, so that contents are compared instead."""
    if not content:
        return {}
    try:
        files = json.loads(gzip.decompress(content))["files"]
        return {
            path_of(path): Entry(Version(int(size), int(modified)), str(digest))
            for path, (digest, size, modified) in files.items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, ArithmeticError):
        return {}
    except (RecursionError, zlib.error):
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


class ManifestCache:
    """Local copies of manifest files, which never change once they are written.

    Args:
        data: The local data folder; if it does not exist, nothing is stored.
        name: The folder of the copies in the state folder.
    """

    def __init__(self, data: Path, name: str) -> None:
        self._data = data
        self._name = name

    def read(self, tree: RemoteTree, path: PurePosixPath) -> Entries:
        """Return the entries of a manifest file, from its local copy if that is complete."""
        copy = local.state_path(self._data, self._name) / _copy_name(path)
        try:
            entries = from_bytes(copy.read_bytes())
        except OSError:
            entries = {}
        if entries:
            return entries
        content = tree.read(path)
        entries = from_bytes(content)
        if content and entries:
            self.store(path, content)
        return entries

    def store(self, path: PurePosixPath, content: bytes) -> None:
        """Store a copy of a manifest file."""
        if self._data.is_dir():
            local.write_state(self._data, f"{self._name}/{_copy_name(path)}", content)

    def keep_only(self, paths: Collection[PurePosixPath]) -> None:
        """Remove the copies of all other manifest files."""
        names = set(map(_copy_name, paths))
        for copy in local.state_path(self._data, self._name).glob("*"):
            if copy.name not in names:
                copy.unlink(missing_ok=True)


def _copy_name(path: PurePosixPath) -> str:
    """Return a name that every disk takes for the copy of a manifest file, which anyone may have named."""
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:32]}{_SUFFIX}"


class Manifest:
    """The manifest of one data root, as it was when it was read.

    Args:
        tree: The data root.
        cache: The local copies of its files.
        files: The entries of each of its files; empty on a root that nobody has pushed to.
    """

    def __init__(self, tree: RemoteTree, cache: ManifestCache, files: dict[PurePosixPath, Entries]) -> None:
        self._tree = tree
        self._cache = cache
        self._files = files
        self.entries = merge(files[path] for path in sorted(files))

    @classmethod
    def read(cls, tree: RemoteTree, cache: ManifestCache) -> Manifest | None:
        """Read a root's manifest; None if nobody has pushed to this root yet."""
        listing = tree.list(FOLDER)
        if listing is None:
            return None
        names = sorted(file.path for file in listing.files if file.path.name.endswith(_SUFFIX))
        read = run_all(lambda path: cache.read(tree, path), names)
        cache.keep_only(names)
        return cls(tree, cache, dict(zip(names, read, strict=True)))

    def add(self, entries: Entries) -> None:
        """Add entries in a new file, which replaces the smallest files if there are many."""
        if not entries:
            return
        by_size = sorted(self._files, key=lambda path: len(self._files[path]))
        replaced = by_size[: max(0, len(by_size) - _MANY + 1)]
        merged = merge([*(self._files[path] for path in replaced), entries])
        content = as_bytes(merged)
        name = FOLDER / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
        self._tree.write(name, content)
        self._cache.store(name, content)
        run_all(self._tree.delete, replaced)
        self._files = {path: each for path, each in self._files.items() if path not in replaced}
        self._files[name] = merged
        self.entries = merge([self.entries, entries])


@dataclass(frozen=True)
class KnownContents:
    """The contents of remote versions that were recorded earlier.

    Args:
        manifest: Recorded by every push, beside the data.
        clone: Recorded by this clone.
    """

    manifest: Mapping[PurePosixPath, Entry]
    clone: Mapping[PurePosixPath, Entry]

    def contents(self, files: Mapping[PurePosixPath, RemoteFile]) -> dict[PurePosixPath, Content]:
        """Return the contents of those files whose present version was recorded."""
        known = {}
        for path, file in files.items():
            for entries in (self.manifest, self.clone):
                entry = entries.get(path)
                if entry and file.version.modified and entry.version == file.version:
                    known[path] = entry.content
        return known


def with_contents(tree: RemoteTree, pairs: Sequence[Pair], must_read: Callable[[Pair], bool]) -> list[Pair]:
    """Read remote files whose content is not recorded, and return the pairs with their contents.

    Args:
        tree: The data root.
        pairs: The pairs, with the contents that were recorded.
        must_read: Whether the remote file of a pair has to be read.
    """
    unread = [pair for pair in pairs if must_read(pair)]
    contents = run_all(lambda pair: _read_remote(tree, pair), unread)
    read = dict(zip((pair.path for pair in unread), contents, strict=True))
    return [replace(pair, remote_content=read[pair.path]) if pair.path in read else pair for pair in pairs]


def _read_remote(tree: RemoteTree, pair: Pair) -> Content | None:
    if pair.there is None:
        return None
    digest = hashlib.sha256()
    for chunk in tree.chunks(pair.path, pair.there.size):
        digest.update(chunk)
    return Content(digest.hexdigest(), pair.there.size)
