"""Replace files of this machine atomically, and lock them. Standard library only."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Write a file so that readers see either the old content or the new one, whole.

    Args:
        path: The file; folders above it are made.
        content: Its new content; text is written as UTF-8 with its line ends unchanged.
        mode: Its permissions, less the process's umask.

    Raises:
        OSError: It cannot be written. No draft is left and the old file is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def lock(descriptor: int) -> None:
    """Lock an open file for this process until it is closed or the process ends.

    Raises:
        OSError: Another process has locked it, or the disk has no locks.
    """
    try:
        import fcntl
    except ImportError:
        import msvcrt

        locking: Any = vars(msvcrt)["locking"]
        locking(descriptor, vars(msvcrt)["LK_NBLCK"], 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
