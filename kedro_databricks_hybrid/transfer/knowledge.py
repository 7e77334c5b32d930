"""Everything that is known before a transfer: the listings, the manifest, and what this clone remembers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer.files import Content
from kedro_databricks_hybrid.transfer.pool import run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Entry, RemoteFile
    from kedro_databricks_hybrid.transfer.plan import Pair
    from kedro_databricks_hybrid.transfer.remote import RemoteTree


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


def compared(tree: RemoteTree, pairs: Sequence[Pair], unclear: Callable[[Pair], bool]) -> list[Pair]:
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
