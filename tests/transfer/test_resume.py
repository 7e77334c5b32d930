"""A push that was killed while it sent a large file: the next one sends the rest and leaves no draft."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.transfer.files import BLOCK
from kedro_databricks_hybrid.transfer.push import Pushed, Selection
from tests.transfer.bad_line import RESET_BEFORE, Request
from tests.transfer.conftest import DBFS, PART, PARTS, VOLUME, Pushes, Site, fill, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.processes

NAME = "01_raw/large.bin"
BLOCKS = 6
DAY = 24 * 3600


def pushed(site: Site, data: Path, root: str) -> Pushed:
    """Push once more, with a new count of requests."""
    site.line.forget()
    push = site.push(data, root)
    return push.perform(push.prepare(Selection()))


def records(data: Path) -> list[dict[str, object]]:
    """Return the records of the unfinished upload."""
    (path,) = (data / ".kedro-hybrid").glob("*.unfinished")
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for_records(data: Path, count: int) -> None:
    """Wait until so many blocks or parts are noted: the server may have one before that."""
    deadline = time.monotonic() + 60
    while len(records(data)) < 1 + count and time.monotonic() < deadline:
        time.sleep(0.01)


def sent(site: Site, wanted: Callable[[Request], bool]) -> int:
    """Return the number of requests of a kind."""
    return sum(wanted(request) for request in site.line.requests)


def is_block(request: Request) -> bool:
    """Return whether a request appends a block."""
    return request.path.endswith("/add-block")


def is_part(request: Request) -> bool:
    """Return whether a request sends a part."""
    return request.method == "PUT" and request.path.startswith("/storage/")


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Return a data folder with one file of six blocks."""
    return fill(tmp_path / "data", {NAME: os.urandom(BLOCK) * (BLOCKS - 1) + b"end"})


@pytest.mark.parametrize("there", [1, 4, BLOCKS])
def test_dbfs_gets_the_blocks_that_it_lacks(site: Site, blocks: Path, pushes: Pushes, there: int) -> None:
    """Killed after the server had stored a block: the blocks up to that one are not sent again."""

    def kill(request: Request) -> None:
        if is_block(request) and sent(site, is_block) == there:
            wait_for_records(blocks, there)
            pushes.kill()

    site.line.after = kill
    pushes.begin(blocks, DBFS)
    assert pushes.end() != 0
    pushed(site, blocks, DBFS)
    assert sent(site, is_block) == BLOCKS - there
    assert site.files(DBFS) == tree_of(blocks)
    assert not list((blocks / ".kedro-hybrid").glob("*.unfinished"))


def test_a_lost_block_costs_a_new_upload(site: Site, blocks: Path, pushes: Pushes) -> None:
    """A block was lost: the draft's size differs, so the file is uploaded anew, without a gap."""

    def kill(request: Request) -> str | None:
        if is_block(request) and sent(site, is_block) == 3:
            wait_for_records(blocks, 3)
            pushes.kill()
            return RESET_BEFORE
        return None

    site.line.fault = kill
    pushes.begin(blocks, DBFS)
    assert pushes.end() != 0
    pushed(site, blocks, DBFS)
    assert site.files(DBFS) == tree_of(blocks)
    assert not list((site.folder(DBFS) / ".kedro-hybrid" / "incoming").iterdir())


def test_a_volume_gets_the_parts_that_it_lacks(site: Site, parts: Path, pushes: Pushes) -> None:
    """Killed after three parts had arrived: only the other three are sent."""

    def kill(request: Request) -> str | None:
        if not is_part(request) or int(request.path.rpartition("/")[2]) <= 3:
            return None
        wait_for_records(parts, 3)
        pushes.kill()
        return RESET_BEFORE

    site.line.fault = kill
    pushes.begin(parts, VOLUME, part=str(PART))
    assert pushes.end() != 0
    assert sorted(str(record["part"]) for record in records(parts)[1:]) == ["1", "2", "3"]
    assert site.files(VOLUME) == {}
    pushed(site, parts, VOLUME)
    assert sent(site, is_part) == PARTS - 3
    assert site.files(VOLUME) == tree_of(parts)


def test_an_expired_upload_starts_again(site: Site, parts: Path, pushes: Pushes) -> None:
    """The workspace does not know the upload any more."""
    site.line.after = lambda request: pushes.kill() if is_part(request) else None
    pushes.begin(parts, VOLUME, part=str(PART))
    assert pushes.end() != 0
    (path,) = (parts / ".kedro-hybrid").glob("*.unfinished")
    path.write_text(path.read_text().replace(str(records(parts)[0]["token"]), "gone"))
    pushed(site, parts, VOLUME)
    uploads = [request.path.split("/")[2] for request in site.line.requests if is_part(request)]
    assert uploads.count(uploads[-1]) == PARTS  # a part of the killed push may have arrived after its end
    assert site.files(VOLUME) == tree_of(parts)


def test_an_expired_handle_starts_again(site: Site, blocks: Path, pushes: Pushes) -> None:
    """Databricks forgets it after ten idle minutes: the whole file is sent, and the old draft is removed."""
    site.line.after = lambda request: pushes.kill() if is_block(request) else None
    pushes.begin(blocks, DBFS)
    assert pushes.end() != 0
    (path,) = (blocks / ".kedro-hybrid").glob("*.unfinished")
    path.write_text(path.read_text().replace(str(records(blocks)[0]["handle"]), "987654321"))
    pushed(site, blocks, DBFS)
    assert sent(site, is_block) >= BLOCKS
    assert site.files(DBFS) == tree_of(blocks)
    assert not list((site.folder(DBFS) / ".kedro-hybrid" / "incoming").iterdir())


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_an_obsolete_draft_is_removed(site: Site, blocks: Path, pushes: Pushes, change: str) -> None:
    """Killed before the draft was renamed, and then the file changed: the next push removes the draft."""
    incoming = site.folder(DBFS) / ".kedro-hybrid" / "incoming"
    site.line.after = lambda request: pushes.kill() if request.path.endswith("/dbfs/close") else None
    pushes.begin(blocks, DBFS)
    assert pushes.end() != 0
    assert len(list(incoming.iterdir())) == 1
    if change == "edit":
        fill(blocks, {NAME: b"small now"})
    else:
        (blocks / NAME).unlink()
    pushed(site, blocks, DBFS)
    assert not list(incoming.iterdir())
    assert site.files(DBFS) == tree_of(blocks)


def test_drafts_of_other_clones_stay_for_a_day(site: Site, blocks: Path) -> None:
    """A draft of an hour ago stays, one of two days ago is removed, and other files stay."""
    incoming = site.folder(DBFS) / ".kedro-hybrid" / "incoming"
    young, old, foreign = "a.csv.0123456789ab", "b.csv.ba9876543210", "notes.txt"
    fill(incoming, {young: b"1", old: b"2", foreign: b"3"})
    for name, age in ((young, 3600), (old, 2 * DAY), (foreign, 2 * DAY)):
        os.utime(incoming / name, (time.time() - age, time.time() - age))
    pushed(site, blocks, DBFS)
    assert sorted(path.name for path in incoming.iterdir()) == [young, foreign]
