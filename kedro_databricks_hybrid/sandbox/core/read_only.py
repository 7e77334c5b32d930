"""Folders in which nothing can be changed, created or deleted."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_read_only(folder: Path) -> None:
    """Forbid every change in a folder; root is not bound by it. Links are not followed."""
    for path, _, files in os.walk(folder):
        for name in files:
            file = os.path.join(path, name)  # noqa: PTH118 - many files
            mode = os.lstat(file).st_mode
            if stat.S_ISREG(mode):
                os.chmod(file, mode & ~_WRITE)  # noqa: PTH101
        os.chmod(path, os.lstat(path).st_mode & ~_WRITE)  # noqa: PTH101
