"""The journal of an unfinished upload, and the process that may use it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kedro_databricks_hybrid.transfer.push import Selection
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload, parsed
from tests.transfer.conftest import DBFS, VOLUME, Site


@pytest.mark.parametrize("end", ['{"block": 2', "[2]", "\x00\x00"])
def test_records_are_read_up_to_the_first_invalid_line(end: str) -> None:
    """The last line may be incomplete, or never have reached the disk."""
    assert parsed(f'{{"of": []}}\n{{"block": 1}}\n{end}\n{{"block": 3}}') == [{"of": []}, {"block": 1}]


def test_one_process_at_a_time_has_the_journal(tmp_path: Path) -> None:
    """A second process that sends the same file starts anew, and leaves the first one's journal."""
    path = tmp_path / "x.unfinished"
    first, second = UnfinishedUpload(path, ["x"]), UnfinishedUpload(path, ["x"])
    first.begin(draft="a")
    second.begin(draft="b")
    second.forget()
    first.close()
    third = UnfinishedUpload(path, ["x"])
    assert (third.is_of_this_content, third.records) == (True, [{"of": ["x"], "draft": "a"}])
    third.forget()
    assert not path.exists()


def test_without_a_folder_nothing_is_recorded(tmp_path: Path) -> None:
    """If the folder does not exist, nothing is recorded, and the push succeeds."""
    lost = UnfinishedUpload(tmp_path / "gone" / "x.unfinished")
    lost.begin(draft="a")
    lost.forget()
    assert list(tmp_path.iterdir()) == []


def test_windows_uses_locks_of_msvcrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fcntl, a byte of the file is locked; if another process has locked it, nothing is recorded."""
    taken: set[Path] = set()

    def locking(number: int, mode: int, size: int) -> None:
        path = Path(f"/proc/self/fd/{number}").resolve()
        if path in taken or (mode, size) != (2, 1):
            raise PermissionError(13, "Permission denied")
        taken.add(path)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    path = tmp_path / "x.unfinished"
    first, second = UnfinishedUpload(path, ["x"]), UnfinishedUpload(path, ["x"])
    second.begin(draft="b")
    first.begin(draft="a")
    first.close()
    assert parsed(path.read_text()) == [{"of": ["x"], "draft": "a"}]


@pytest.mark.parametrize("root", [DBFS, VOLUME])
def test_a_completed_push_leaves_no_journal(site: Site, data: Path, root: str) -> None:
    """A completed push leaves no journal, after one request or several blocks."""
    push = site.push(data, root)
    push.perform(push.prepare(Selection()))
    assert not list((data / ".kedro-hybrid").glob("*.unfinished"))
