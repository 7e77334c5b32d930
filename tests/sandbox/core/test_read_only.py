"""Folders in which nothing can be changed."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.core import read_only
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_read_only_folder(tmp_path: Path) -> None:
    """Nothing in the folder can be written, targets of its links stay writable, and it can be deleted."""
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "inside").mkdir(parents=True)
    (folder / "inside/program").touch(mode=0o755)
    outside.write_text("kept")
    (folder / "link").symlink_to(outside)
    before = outside.stat().st_mode
    read_only.make_read_only(folder)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "inside/program")]
    assert [mode & 0o222 for mode in modes] == [0, 0]
    assert modes[1] == 0o555
    assert outside.stat().st_mode == before
    remove_tree(folder)
    assert (folder.exists(), outside.read_text()) == (False, "kept")
