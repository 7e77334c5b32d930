"""What a push has to move: decided from what lies here, what lies there and what was sent last. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = PurePosixPath(".kedro-hybrid/manifest.json")
"""Beside the data: what pushes sent, so that the next one knows what changed."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the data folder: its path relative to it, its size in bytes and its SHA-256 in hex."""

    path: PurePosixPath
    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The SHA-256 of every file that was sent, and the folders that were made."""

    files: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()

    def as_bytes(self) -> bytes:
        """Return the manifest as it is stored: JSON with sorted keys."""
        content = {"version": 1, "files": dict(self.files), "folders": sorted(self.folders)}
        return json.dumps(content, indent=1, sort_keys=True).encode()

    @staticmethod
    def from_bytes(content: bytes | None) -> Manifest:
        """Return a stored manifest; none, or one that cannot be read, is empty: everything is sent again."""
        try:
            stored = json.loads(content or b"{}")
            return Manifest(dict(stored.get("files", {})), frozenset(stored.get("folders", [])))
        except (ValueError, TypeError, AttributeError):
            return Manifest()


@dataclass(frozen=True)
class PushPlan:
    """The files to send, the folders to make, and how many files are there already."""

    send: tuple[LocalFile, ...]
    make: tuple[str, ...]
    unchanged: int
    manifest: Manifest
    """What the manifest must say afterwards."""


def plan_push(
    files: list[LocalFile],
    folders: list[str],
    manifest: Manifest,
    remote_sizes: Mapping[PurePosixPath, int],
) -> PushPlan:
    """Decide what to send.

    A file is left alone only where the manifest knows its content and the remote file has its size; so a
    remote file that somebody removed or cut short is sent again.

    Args:
        files: The local files.
        folders: The local folders, so that empty ones exist there too.
        manifest: What earlier pushes sent.
        remote_sizes: Bytes of each remote file, by its path relative to the root.
    """
    send = [
        file
        for file in files
        if manifest.files.get(str(file.path)) != file.digest or remote_sizes.get(file.path) != file.size
    ]
    make = [folder for folder in folders if folder not in manifest.folders]
    after = Manifest(
        {**manifest.files, **{str(file.path): file.digest for file in files}},
        manifest.folders.union(folders),
    )
    return PushPlan(tuple(send), tuple(make), len(files) - len(send), after)
