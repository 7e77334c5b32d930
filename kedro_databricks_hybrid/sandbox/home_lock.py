"""The lock that says whether a server owns a sandbox home.

A lock held by the operating system ends with its process, however that ends: unlike a process
id in a file, it is never stale and never names somebody else's process.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = "sandbox.lock"
_PATIENCE_SECONDS = 0.5  # readers hold a shared lock for an instant; a server outwaits them


class HomeLock:
    """Exclusive ownership of a home, until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another server have the home."""
        os.close(self._descriptor)


def acquire(home: Path) -> HomeLock | None:
    """Own `home`, or return None because another server does."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _try_lock(descriptor, exclusive=True):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)
    return HomeLock(descriptor)


def is_owned(home: Path) -> bool:
    """Whether a living server owns `home`."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _try_lock(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
        del exclusive  # Windows has no shared kind; a reader holds the lock for an instant only
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
