"""Write a small file atomically: after a kill at any moment it holds the old content or the new one."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, draft_folder: Path | None = None) -> None:
    """Replace the content of a file, which only its owner can read.

    Args:
        path: The file.
        content: Its new content.
        draft_folder: Where the draft is written, on the same disk, if it must never show beside the file.
            Such a file is not flushed to the disk, so a power failure may lose it; any other file is.
    """
    drafts = draft_folder or path.parent
    descriptor, name = tempfile.mkstemp(dir=drafts, prefix=f".{path.name[:100]}.")  # created 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if draft_folder is None:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if draft_folder is None and sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
