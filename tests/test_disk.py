"""Replacing files atomically, and locking them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.disk import lock, replace_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """A program that has the old file open still reads the old content; no temporary file is left."""
    path = tmp_path / "deep" / "a.txt"
    replace_file(path, "old\r\n")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert (reader.read(), path.read_bytes()) == (b"old\r\n", b"new")
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    """A file cannot be replaced: the system's error is raised, and no temporary file is left."""
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(path, "x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_gets_its_permissions_less_the_umask(tmp_path: Path) -> None:
    """A file gets its mode less the umask, also if it replaces a file with another mode."""
    path = tmp_path / "a.txt"
    before = os.umask(0o027)
    try:
        for mode, given in ((0o666, 0o640), (0o600, 0o600), (0o755, 0o750)):
            replace_file(path, "x", mode=mode)
            assert path.stat().st_mode & 0o777 == given
    finally:
        os.umask(before)


def test_a_locked_file_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    """A locked file cannot be locked again until it is closed."""
    path = tmp_path / "lock"
    with path.open("w") as second:
        with path.open("w") as first:
            lock(first.fileno())
            with pytest.raises(OSError, match="unavailable"):
                lock(second.fileno())
        lock(second.fileno())
