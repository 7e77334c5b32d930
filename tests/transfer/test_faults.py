"""A push on a bad line, on a full disk, killed at any moment: one more push makes both sides equal."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import HybridError, TransferError
from kedro_databricks_hybrid.sandbox import uploads
from kedro_databricks_hybrid.transfer import roots
from kedro_databricks_hybrid.transfer.outgoing import Source
from kedro_databricks_hybrid.transfer.pool import CONCURRENCY
from kedro_databricks_hybrid.transfer.push import Push, Pushed, Wish
from tests.transfer.bad_line import CUT, RESET_AFTER, RESET_BEFORE, Request
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

if TYPE_CHECKING:
    pass

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])
FAULTY = {2, 4, 7, 15}
STORM = 15


def pushed(push: Push) -> Pushed:
    """Prepare and perform."""
    return push.perform(push.prepare(Wish()))


@ROOTS
@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_AFTER, CUT, 503])
def test_a_bad_line_costs_time_only(site: Site, data: Path, root: str, fault: str | int) -> None:
    """Several requests go wrong, in whatever way: the push completes and all is there once."""
    push = site.push(data, root)
    plan = push.prepare(Wish())
    first = len(site.line.requests)
    site.line.fault = lambda request: fault if request.number - first in FAULTY else None
    push.perform(plan)
    assert site.files(root) == tree_of(data)
    site.line.forget()
    assert pushed(site.push(data, root)).sent == 0


def test_a_lost_append_is_not_appended_twice(site: Site, data: Path) -> None:
    """The block was stored and only the answer got lost: the file still has each block once."""
    lost: list[int] = []

    def fault(request: Request) -> str | None:
        if request.path.endswith("/add-block") and not lost:
            lost.append(request.number)
            return RESET_AFTER
        return None

    push = site.push(data)
    plan = push.prepare(Wish())
    site.line.fault = fault
    push.perform(plan)
    assert lost
    assert site.files() == tree_of(data)
    assert not list((site.folder() / ".kedro-hybrid").glob("incoming/*"))


def test_in_a_storm_of_429_all_workers_wait(site: Site, tmp_path: Path) -> None:
    """Wave after wave is refused: after each, no worker asks again before Retry-After is over."""
    data = fill(tmp_path / "data", {f"01/{number}.csv": b"x" for number in range(70)})
    refused: list[float] = []

    def fault(request: Request) -> int | None:
        if request.path.endswith("/put") and len(site.line.requests) > 25 and len(refused) < STORM:
            refused.append(time.monotonic())
            return 429
        return None

    push = site.push(data)
    plan = push.prepare(Wish())
    site.line.delay = 0.01
    site.line.retry_after = "2"
    site.line.fault = fault
    push.perform(plan)
    assert len(refused) == STORM
    for when in refused:  # each of the other workers may have had a request on its way
        meanwhile = [each for each in site.line.requests if when < each.began < when + 1.95]
        assert len(meanwhile) < CONCURRENCY
    assert site.files() == tree_of(data)


@ROOTS
def test_a_full_disk_there_is_told_and_mended_by_the_next_push(
    site: Site, data: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server cannot store: status 1 and nothing under a final name that is not whole; then it can."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "new_upload", full)
        for name in ("dbfs_api", "dbfs_streams", "files_api", "uploads"):
            module = sys.modules[f"kedro_databricks_hybrid.sandbox.{name}"]
            for function in ("new_upload", "received"):
                if hasattr(module, function):
                    patch.setattr(module, function, full)
        with pytest.raises(HybridError, match="is full"):
            pushed(Push(roots.tree(site.workspace(seconds=2), root), data, root))
    sent = tree_of(data)
    assert all(sent[name] == content for name, content in site.files(root).items())
    pushed(site.push(data, root))
    assert site.files(root) == sent


def test_a_file_that_vanishes_is_told_and_the_rest_arrives(site: Site, data: Path) -> None:
    """The plan named it, the disk has it no more: an error with its name, all others there."""
    push = site.push(data)
    plan = push.prepare(Wish())
    (data / "01_raw" / "a.csv").unlink()
    with pytest.raises(TransferError, match=r"a.csv cannot be read any more"):
        push.perform(plan)
    assert site.files() == tree_of(data)
    assert pushed(site.push(data)).sent == 0


@pytest.mark.parametrize("name", ["01_raw/a.csv", "03_primary/large.bin"])
def test_a_file_that_changes_before_it_is_sent_arrives_as_it_is_now(
    site: Site, data: Path, name: str
) -> None:
    """What was read counts: the next push finds nothing to do."""
    push = site.push(data)
    plan = push.prepare(Wish())
    fill(data, {name: b"changed" * 400_000})
    push.perform(plan)
    assert site.files() == tree_of(data)
    assert pushed(site.push(data)).sent == 0


def test_a_file_that_changes_while_it_is_read_is_read_again(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mixture of two contents does not stay."""
    large = data / "03_primary" / "large.bin"
    size = large.stat().st_size
    read = Source.read
    changes: list[int] = []

    def read_and_change(self: Source, count: int = -1) -> bytes:
        block = read(self, count)
        if not changes and self.count > 1_000_000:
            changes.append(self.count)
            large.write_bytes(b"z" * size)
        return block

    monkeypatch.setattr(Source, "read", read_and_change)
    pushed(site.push(data))
    assert changes
    assert site.files()["03_primary/large.bin"] == b"z" * size
