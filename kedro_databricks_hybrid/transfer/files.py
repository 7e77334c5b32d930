"""Local files, remote files and their contents, as transfers describe them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

STATE_FOLDER = ".kedro-hybrid"
"""The plugin's state folder, in the data folder and below the data root."""

SMALL = 1024 * 1024
"""Bytes up to which a file is sent in one request and held in memory."""

_CLOCK_SKEW = 2  # seconds between the clocks of a workspace and of its storage

BLOCK = 1024 * 1024
"""Bytes read, hashed and moved at a time."""


@cache
def path_of(text: str) -> PurePosixPath:
    """Return a path, the same object for the same text: it is hashed once, and thousands are looked up."""
    return PurePosixPath(text)


@dataclass(frozen=True)
class Content:
    """The content of a file: its SHA-256 in hex and its size in bytes."""

    digest: str
    size: int

    @property
    def is_known(self) -> bool:
        """Whether the file has been read; an unread content equals no other."""
        return bool(self.digest)


def unread(size: int) -> Content:
    """Return the content of a file that has not been read: only its size is known."""
    return Content("", size)


Stamp = tuple[int, int, int]
"""Size, modification time and change time (ns) of a local file; a write changes them."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp in a file's status."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class LocalFile:
    """A file of the data folder: its path relative to it, its content, and when it was modified (ms)."""

    path: PurePosixPath
    content: Content
    modified: int = 0
    stamp: Stamp = (0, 0, 0)
    """The stamp from before it was read."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.content.size


@dataclass(frozen=True)
class Version:
    """A version of a remote file: size in bytes, modification time in ms (0 if it may be another's too)."""

    size: int
    modified: int


@dataclass(frozen=True)
class RemoteFile:
    """A file below a data root: its path relative to the root, its size, when it was modified (ms).

    Args:
        path: Its path.
        size: Its bytes.
        modified: Its modification time.
        is_settled: Whether a later change will have another modification time.
    """

    path: PurePosixPath
    size: int
    modified: int = 0
    is_settled: bool = True

    @property
    def version(self) -> Version:
        """The version that the listing shows."""
        return Version(self.size, self.modified if self.is_settled else 0)


class Times:
    """The modification times of one data root; some workspaces have whole seconds.

    There, a file may change again within the second in which it was listed, and keep its size and its time.
    """

    def __init__(self) -> None:
        self._are_exact = False

    def files(self, listed: Sequence[tuple[PurePosixPath, int, int]], now: int) -> tuple[RemoteFile, ...]:
        """Return the files of a listing.

        Args:
            listed: Their paths, sizes and modification times (ms).
            now: The server's time before the listing, in whole seconds since 1970; 0 if it is unknown.
        """
        self._are_exact |= any(modified % 1000 for _, _, modified in listed)
        latest = (now - _CLOCK_SKEW) * 1000 if now else float("inf")
        return tuple(
            RemoteFile(path, size, modified, self._are_exact or modified <= latest)
            for path, size, modified in listed
        )


@dataclass(frozen=True)
class Listing:
    """The files and folders directly in a remote folder."""

    files: tuple[RemoteFile, ...] = ()
    folders: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A version of a remote file and the SHA-256 of its content."""

    version: Version
    digest: str

    @property
    def content(self) -> Content:
        """The content of that version."""
        return Content(self.digest, self.version.size)
