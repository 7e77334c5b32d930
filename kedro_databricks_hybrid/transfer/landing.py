"""Putting what was downloaded in its place: a reader sees the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer.local import PART_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def draft_of(target: Path) -> Path:
    """Return a free name beside a file or folder; what an interrupted pull left there is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{_escaped(target.name)}.*{PART_SUFFIX}"):
        remove(left)
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART_SUFFIX}")


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
        draft.rename(target)
    elif _swapped(draft, target):
        remove(draft)
    else:
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART_SUFFIX}")
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


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
