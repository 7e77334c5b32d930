"""A push with network faults, a full disk or changing files: one more push makes both sides equal."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from kedro_databricks_hybrid.errors import HybridError, TransferError
from kedro_databricks_hybrid.parallel import CONCURRENCY
from kedro_databricks_hybrid.sandbox.core import uploads
from kedro_databricks_hybrid.transfer import manifest
from kedro_databricks_hybrid.transfer import push as push_module
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.push import InterruptedPushError, Push, Pushed, Selection
from kedro_databricks_hybrid.transfer.trees.open import open_tree
from kedro_databricks_hybrid.transfer.upload import Source
from tests.transfer.bad_line import CUT, RESET_AFTER, RESET_BEFORE, Fault, Request
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

pytestmark = pytest.mark.processes

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])
FAULTY = {2, 4, 7, 15}
STORM = 15


def pushed(push: Push) -> Pushed:
    """Prepare and perform."""
    return push.perform(push.prepare(Selection()))


@ROOTS
@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_AFTER, CUT, 503])
def test_network_faults_cost_only_time(site: Site, data: Path, root: str, fault: str | int) -> None:
    """Some requests fail: the push still completes, and each file is there once."""
    push = site.push(data, root)
    plan = push.prepare(Selection())
    first = len(site.line.requests)
    site.line.fault = lambda request: fault if request.number - first in FAULTY else None
    push.perform(plan)
    assert site.files(root) == tree_of(data)
    site.line.forget()
    assert pushed(site.push(data, root)).sent == 0


def test_a_lost_append_is_not_appended_twice(site: Site, data: Path) -> None:
    """A block was stored and its answer lost: the file contains each block once."""
    lost: list[int] = []

    def fault(request: Request) -> str | None:
        if request.path.endswith("/add-block") and not lost:
            lost.append(request.number)
            return RESET_AFTER
        return None

    push = site.push(data)
    plan = push.prepare(Selection())
    site.line.fault = fault
    push.perform(plan)
    assert lost
    assert site.files() == tree_of(data)
    assert not list((site.folder() / ".kedro-hybrid").glob("incoming/*"))


def test_in_a_storm_of_429_all_workers_wait(site: Site, tmp_path: Path) -> None:
    """Many requests in a row get status 429: no worker sends another one before Retry-After has passed."""
    data = fill(tmp_path / "data", {f"01/{number}.csv": b"x" for number in range(70)})
    refused: list[float] = []

    def fault(request: Request) -> int | None:
        if request.path.endswith("/put") and len(site.line.requests) > 25 and len(refused) < STORM:
            refused.append(time.monotonic())
            return 429
        return None

    push = site.push(data)
    plan = push.prepare(Selection())
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
def test_a_full_disk_there_is_an_error_and_the_next_push_succeeds(
    site: Site, data: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's disk is full: an error, and no incomplete file; the next push succeeds."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "new_upload", full)
        for name in ("dbfs.routes", "volumes.routes", "core.uploads"):
            module = sys.modules[f"kedro_databricks_hybrid.sandbox.{name}"]
            for function in ("new_upload", "received"):
                if hasattr(module, function):
                    patch.setattr(module, function, full)
        with pytest.raises(HybridError, match="is full"):
            pushed(Push(open_tree(site.workspace(seconds=2), root), data, root))
    sent = tree_of(data)
    assert all(sent[name] == content for name, content in site.files(root).items())
    pushed(site.push(data, root))
    assert site.files(root) == sent


def test_a_file_that_vanishes_is_an_error_and_the_others_arrive(site: Site, data: Path) -> None:
    """A file is deleted after planning: an error names it, and all other files arrive."""
    push = site.push(data)
    plan = push.prepare(Selection())
    (data / "01_raw" / "a.csv").unlink()
    with pytest.raises(TransferError, match=r"a.csv cannot be read any more"):
        push.perform(plan)
    assert site.files() == tree_of(data)
    assert pushed(site.push(data)).sent == 0


@pytest.mark.parametrize("name", ["01_raw/a.csv", "03_primary/large.bin"])
def test_a_file_that_changes_before_it_is_sent_arrives_as_it_is_now(
    site: Site, data: Path, name: str
) -> None:
    """A file changes before it is sent: its new content arrives, and the next push sends nothing."""
    push = site.push(data)
    plan = push.prepare(Selection())
    fill(data, {name: b"changed" * 400_000})
    push.perform(plan)
    assert site.files() == tree_of(data)
    assert pushed(site.push(data)).sent == 0


def test_a_file_that_changes_while_it_is_read_is_read_again(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file changes while it is read: it is read again, so that no mixture is stored."""
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


def test_a_file_that_never_stops_changing_is_an_error(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program keeps writing to a file: an error names it, and no mixture gets its final name."""
    large = data / "03_primary" / "large.bin"
    read = Source.read

    def read_and_change(self: Source, count: int = -1) -> bytes:
        block = read(self, count)
        os.utime(large, ns=(0, time.monotonic_ns()))
        return block

    monkeypatch.setattr(Source, "read", read_and_change)
    with pytest.raises(TransferError, match=r"large.bin keeps changing while it is pushed. Push again when"):
        pushed(site.push(data))
    monkeypatch.undo()
    pushed(site.push(data))
    assert site.files() == tree_of(data)


@pytest.mark.parametrize("times", [1, 10])
def test_a_file_that_is_overwritten_after_it_was_sent(site: Site, data: Path, times: int) -> None:
    """A remote file is overwritten after it was sent: it is sent again, and after several times an error."""
    target = site.folder(VOLUME) / "01_raw" / "a.csv"
    written: list[Request] = []

    def write(request: Request) -> None:
        if request.method == "PUT" and request.path.endswith("/a.csv") and len(written) < times:
            written.append(request)
            target.write_bytes(b"somebody else's")

    site.line.after = write
    if times == 1:
        assert pushed(site.push(data, VOLUME)).sent == 4
        assert site.files(VOLUME) == tree_of(data)
        return
    with pytest.raises(TransferError, match=r"a.csv does not arrive unchanged. Check whether something else"):
        pushed(site.push(data, VOLUME))
    assert len(written) == 3


def test_a_file_may_be_sent_before_its_folder_exists(site: Site, data: Path) -> None:
    """A file that is sent before its folder exists waits for the folder and is sent once more."""
    early: list[Request] = []
    made: list[Request] = []

    def slow(request: Request) -> Fault:
        if request.method == "PUT" and "/fs/files/" in request.path and not made:
            early.append(request)
            return 404
        deadline = time.monotonic() + 5
        while "/fs/directories/" in request.path and not early and time.monotonic() < deadline:
            time.sleep(0.01)
        return None

    push = site.push(data, VOLUME)
    plan = push.prepare(Selection())
    site.line.says = b'{"error_code":"NOT_FOUND","message":"The folder does not exist."}'
    site.line.fault = slow
    site.line.after = lambda request: made.append(request) if "/fs/directories/" in request.path else None
    assert push.perform(plan).sent == 4
    assert early
    assert site.files(VOLUME) == tree_of(data)


def test_a_folder_that_cannot_be_made_is_an_error(site: Site, data: Path) -> None:
    """A remote folder cannot be created: an error, and files that wait for it do not wait forever."""
    push = site.push(data, VOLUME)
    plan = push.prepare(Selection())
    site.line.says = b'{"error_code":"INVALID_PARAMETER_VALUE","message":"No such name."}'
    site.line.fault = lambda request: (
        400 if "/fs/directories/" in request.path and request.method == "PUT" else None
    )
    with pytest.raises(HybridError, match=r"No such name|does not exist|not found"):
        push.perform(plan)


@ROOTS
def test_a_root_that_was_removed_is_filled_again(site: Site, data: Path, root: str) -> None:
    """The data root was deleted: all files are sent again, whatever the local state says."""
    pushed(site.push(data, root))
    shutil.rmtree(site.folder(root))
    assert pushed(site.push(data, root)).sent == 4
    assert site.files(root) == tree_of(data)


def test_a_volume_that_was_removed_is_an_error(site: Site, data: Path) -> None:
    """The volume is missing, not only the folder: nothing is sent."""
    from databricks.sdk.service.catalog import VolumeType

    volumes, root = site.workspace().client.volumes, "/Volumes/main/default/short/shop"
    volumes.create("main", "default", "short", VolumeType.MANAGED)
    pushed(site.push(data, root))
    volumes.delete("main.default.short")
    with pytest.raises(TransferError, match=r"main/default/short does not exist.*CREATE VOLUME"):
        site.push(data, root).prepare(Selection())


@ROOTS
def test_a_damaged_manifest_costs_a_comparison(site: Site, data: Path, root: str) -> None:
    """Contents are found by reading the files, in this clone and in another, and nothing is sent again."""
    pushed(site.push(data, root))
    (noted,) = (site.folder(root) / manifest.FOLDER).glob("*")
    noted.write_bytes(b"\x1f\x8b damaged")
    other = data.parent.parent / "other" / "data"
    shutil.copytree(data, other, ignore=lambda *_: [".kedro-hybrid"])
    assert pushed(site.push(other, root)).sent == 0
    assert pushed(site.push(data, root)).sent == 0


def test_a_volume_filled_by_hand_gets_a_manifest(site: Site, data: Path) -> None:
    """Nothing has to be sent, but the contents that were compared are recorded for all clones."""
    fill(site.folder(VOLUME), tree_of(data))
    assert pushed(site.push(data, VOLUME)).sent == 0
    assert len(list((site.folder(VOLUME) / manifest.FOLDER).glob("*"))) == 1


@pytest.mark.usefixtures("settled")
def test_after_ctrl_c_no_large_file_is_read_back(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message counts files, the arrived ones are not read back, and the next push sends the others."""

    class Interrupting(Progress):
        def file_done(self) -> None:
            super().file_done()
            raise KeyboardInterrupt

    monkeypatch.setattr(push_module, "SMALL", 1)  # so that a file need not be 64 MiB to count as large
    only = [data / "03_primary"]
    push = Push(site.tree(), data, DBFS, Interrupting())
    with pytest.raises(InterruptedPushError, match=r"after 1 of 1 files. Push again") as caught:
        push.perform(push.prepare(Selection(chosen=only)))
    assert caught.value.exit_status == 130
    site.line.forget()
    again = site.push(data)
    assert again.perform(again.prepare(Selection(chosen=only))).sent == 0
    assert not [
        request for request in site.line.requests if "large.bin" in request.line and "read" in request.line
    ]
    assert pushed(site.push(data)).sent == 3
    assert site.files() == tree_of(data)
