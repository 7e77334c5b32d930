"""What is noted of an upload that did not end, and who may have it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kedro_databricks_hybrid.transfer.push import Selection
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload, parsed
from tests.transfer.conftest import DBFS, VOLUME, Site


@pytest.mark.parametrize("end", ['{"block": 2', "[2]", "\x00\x00"])
def test_notes_count_up_to_what_is_no_note(end: str) -> None:
    """The last line may be cut off, or never have reached the disk."""
    assert parsed(f'{{"of": []}}\n{{"block": 1}}\n{end}\n{{"block": 3}}') == [{"of": []}, {"block": 1}]


def test_one_process_at_a_time_has_them(tmp_path: Path) -> None:
    """Another one that sends the same file begins anew, and leaves the first one's notes alone."""
    place = tmp_path / "x.unfinished"
    first, second = UnfinishedUpload(place, ["x"]), UnfinishedUpload(place, ["x"])
    first.begin(draft="a")
    second.begin(draft="b")
    second.forget()
    first.close()
    third = UnfinishedUpload(place, ["x"])
    assert (third.is_of_this_content, third.records) == (True, [{"of": ["x"], "draft": "a"}])
    third.forget()
    assert not place.exists()


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path) -> None:
    """A folder that is not there costs the notes, and no push."""
    lost = UnfinishedUpload(tmp_path / "gone" / "x.unfinished")
    lost.begin(draft="a")
    lost.forget()
    assert list(tmp_path.iterdir()) == []


def test_windows_has_locks_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no fcntl, a byte of the file is locked; one that is locked keeps nothing."""
    taken: set[Path] = set()

    def locking(number: int, mode: int, size: int) -> None:
        path = Path(f"/proc/self/fd/{number}").resolve()
        if path in taken or (mode, size) != (2, 1):
            raise PermissionError(13, "Permission denied")
        taken.add(path)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    place = tmp_path / "x.unfinished"
    first, second = UnfinishedUpload(place, ["x"]), UnfinishedUpload(place, ["x"])
    second.begin(draft="b")
    first.begin(draft="a")
    first.close()
    assert parsed(place.read_text()) == [{"of": ["x"], "draft": "a"}]


@pytest.mark.parametrize("root", [DBFS, VOLUME])
def test_a_push_that_ended_leaves_no_notes(site: Site, data: Path, root: str) -> None:
    """Neither a file that goes in one request nor one that goes in blocks."""
    push = site.push(data, root)
    push.perform(push.prepare(Selection()))
    assert not list((data / ".kedro-hybrid").glob("*.unfinished"))
