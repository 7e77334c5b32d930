"""What transfers talk about: a file here, a file there, and what is known of their contents. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

OURS = ".kedro-hybrid"
"""The folder in which this tool keeps its own files, in the data folder and below the data root."""

SMALL = 1024 * 1024
"""Bytes up to which a file travels in one request and is held in memory."""

BLOCK = 1024 * 1024
"""Bytes read, hashed and moved at a time."""


@cache
def path_of(text: str) -> PurePosixPath:
    """Return a path, the same object for the same text: thousands of them are compared and looked up."""
    return PurePosixPath(text)


@dataclass(frozen=True)
class Content:
    """What a file holds: its SHA-256 in hex and its size in bytes."""

    digest: str
    size: int

    @property
    def is_known(self) -> bool:
        """Whether somebody has read it; one that nobody has read equals no other."""
        return bool(self.digest)


def unread(size: int) -> Content:
    """Return what is known of a file that nobody has read: its size."""
    return Content("", size)


Stamp = tuple[int, int, int]
"""Size, modification time and change time (ns): the same as long as nobody wrote to a local file."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells whether a local file was written to."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class LocalFile:
    """A file of the data folder: its path relative to it, its content, and when it was modified (ms)."""

    path: PurePosixPath
    content: Content
    modified: int = 0
    stamp: Stamp = (0, 0, 0)
    """Of the moment before it was read."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.content.size


@dataclass(frozen=True)
class Version:
    """What tells one version of a remote file from the next: size in bytes, modification time in ms."""

    size: int
    modified: int


@dataclass(frozen=True)
class RemoteFile:
    """A file below a data root: its path relative to the root, its size, when it was modified (ms)."""

    path: PurePosixPath
    size: int
    modified: int = 0

    @property
    def version(self) -> Version:
        """What identifies this version of it."""
        return Version(self.size, self.modified)


@dataclass(frozen=True)
class Listing:
    """What lies directly in a remote folder."""

    files: tuple[RemoteFile, ...] = ()
    folders: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A version of a remote file and the content that is known to be in it."""

    version: Version
    digest: str

    @property
    def content(self) -> Content:
        """The content of that version."""
        return Content(self.digest, self.version.size)
