"""Putting what was downloaded in its place: a reader sees the old one or the new one, whole.

What is not whole yet is a draft: `.<pull>.<draft>.kedro-part` beside its target, twice eight hex digits.
A running pull holds the lock of `.kedro-hybrid/<pull>.pulling`; drafts of a pull without a lock are removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer import own_folder
from kedro_databricks_hybrid.transfer.local import PART_SUFFIX, is_draft
from kedro_databricks_hybrid.transfer.unfinished import lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class Drafts:
    """The drafts of one pull.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._pull = secrets.token_hex(4)
        self._cleared: set[Path] = set()

    @contextlib.contextmanager
    def held(self) -> Iterator[Drafts]:
        """Hold the pull's lock, which keeps other pulls from removing its drafts."""
        own_folder.make(self._data)
        place = self._lock_file(self._pull)
        try:
            with place.open("wb") as file:
                with contextlib.suppress(OSError):  # a disk without locks, where no draft is ever removed
                    lock(file.fileno())
                yield self
        finally:
            place.unlink(missing_ok=True)

    def beside(self, target: Path) -> Path:
        """Return a free name for a draft of a file or folder; drafts of dead pulls beside it are removed."""
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._cleared:
            self._cleared.add(folder)
            for left in [entry for entry in folder.iterdir() if is_draft(entry.name)]:
                if not self._lives(_pull_of(left)):
                    remove(left)
        return folder / _name(self._pull)

    def _lives(self, pull: str) -> bool:
        if pull == self._pull:
            return True
        try:
            with self._lock_file(pull).open("r+b") as file:
                lock(file.fileno())
        except FileNotFoundError:
            return False
        except OSError:
            return True
        self._lock_file(pull).unlink(missing_ok=True)
        return False

    def _lock_file(self, pull: str) -> Path:
        return own_folder.path(self._data, f"{pull}.pulling")


def land_file(draft: Path, target: Path) -> None:
    """Put a file in the place of another one, and remove the checksum that a local Spark kept of that."""
    checksum = target.with_name(f".{target.name}.crc")
    checksum.unlink(missing_ok=True)
    if target.is_dir() and not target.is_symlink():
        land_folder(draft, target)
    else:
        draft.replace(target)


def land_folder(draft: Path, target: Path) -> None:
    """Put a folder, or what replaces one, in its place.

    Linux swaps the two in one step. Elsewhere the name is free for the moment between two renames.
    """
    if not os.path.lexists(target):
        try:
            draft.rename(target)
        except OSError:
            if not os.path.lexists(target):  # otherwise another pull was faster
                raise
        else:
            return
    if _swapped(draft, target):
        remove(draft)
    else:
        old = target.with_name(_name(_pull_of(draft)))
        target.rename(old)
        draft.rename(target)
        remove(old)


def same_file(source: Path, target: Path) -> None:
    """Make a second name for a file's content, a copy where the disk has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder of ours."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _swapped(first: Path, second: Path) -> bool:
    """Exchange two names in one step where the system can; say whether it was done."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (os.fsencode(first), os.fsencode(second))
    return bool(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _name(pull: str) -> str:
    return f".{pull}.{secrets.token_hex(4)}{PART_SUFFIX}"


def _pull_of(draft: Path) -> str:
    return draft.name.split(".")[1]
