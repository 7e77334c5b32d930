"""Delete folders in which user code has written: very deep or read-only ones, too."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Delete a folder and everything in it; what cannot be deleted stays.

    Folders are moved to the top before they are emptied, so that no path gets too long and no recursion too
    deep. Links are not followed, also if another process exchanges a folder for a link meanwhile.
    """
    if os.rename not in os.supports_dir_fd:
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(OSError):
        with _opened(os.fspath(folder)) as top:
            waiting = _emptied(top, top)
            while waiting:
                name = waiting.pop()
                with suppress(OSError):
                    with _opened(name, top) as inside:
                        waiting += _emptied(inside, top)
                    os.rmdir(name, dir_fd=top)
        folder.rmdir()


def _emptied(folder: int, top: int) -> list[str]:
    """Delete the files in a folder, move its folders to the top, and return their names there."""
    moved = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            with suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)
                    continue
                name = entry.name
                if folder != top:
                    name = f".{secrets.token_hex(8)}"
                    with _opened(entry.name, folder):  # now writable, as a folder must be to be moved
                        os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
                moved.append(name)
    return moved


@contextmanager
def _opened(name: str, parent: int | None = None) -> Iterator[int]:
    """Open a folder that is not a link, and make it writable."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:  # it cannot be read: only its path can be used
        os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, flags, dir_fd=parent)
    try:
        os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)
