"""A push on a bad line, on a full disk, killed at any moment: one more push makes both sides equal."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.errors import HybridError, TransferError
from kedro_databricks_hybrid.sandbox import uploads
from kedro_databricks_hybrid.transfer import roots, sources
from kedro_databricks_hybrid.transfer.push import Push, Pushed, Wish
from tests.transfer.bad_line import CUT, RESET_AFTER, RESET_BEFORE, Request
from tests.transfer.conftest import DBFS, VOLUME, Site, fill, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOTS = pytest.mark.parametrize("root", [DBFS, VOLUME])
SEEDS = 15
FAULTY = {2, 4, 7, 15}


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


def test_all_workers_wait_when_one_is_told_to(site: Site, tmp_path: Path) -> None:
    """After one 429 no request leaves before its Retry-After is over."""
    data = fill(tmp_path / "data", {f"01/{number}.csv": b"x" for number in range(60)})
    refused: list[float] = []

    def fault(request: Request) -> int | None:
        if request.path.endswith("/put") and len(site.line.requests) > 25 and not refused:
            refused.append(time.monotonic())
            return 429
        return None

    push = site.push(data)
    plan = push.prepare(Wish())
    site.line.delay = 0.01
    site.line.fault = fault
    push.perform(plan)
    early = [each for each in site.line.requests if refused[0] + 0.15 < each.began < refused[0] + 0.95]
    assert early == []
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
        with pytest.raises(HybridError):
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
    read = sources.Source.read
    changes: list[int] = []

    def read_and_change(self: sources.Source, count: int = -1) -> bytes:
        block = read(self, count)
        if not changes and self.count > 1_000_000:
            changes.append(self.count)
            large.write_bytes(b"z" * size)
        return block

    monkeypatch.setattr(sources.Source, "read", read_and_change)
    pushed(site.push(data))
    assert changes
    assert site.files()["03_primary/large.bin"] == b"z" * size


@pytest.fixture
def start_push(site: Site) -> Iterator[Callable[[Path, str], tuple[int, Callable[[], int]]]]:
    """Start a push in a process; return its pid and what waits for its exit status."""
    script = Path(__file__).with_name("pushes_to_kill.py")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
    )
    assert process.stdin
    assert process.stdout
    orders, answers = process.stdin, process.stdout

    def start(data: Path, root: str) -> tuple[int, Callable[[], int]]:
        order = {
            "host": site.line.url,
            "token": site.sandbox.user.token,
            "data": str(data),
            "root": root,
        }
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        return int(answers.readline()), lambda: int(answers.readline())

    yield start
    orders.close()
    process.wait(timeout=20)
    answers.close()


@ROOTS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_push_killed_at_any_moment_is_mended_by_the_next(
    site: Site,
    tmp_path: Path,
    root: str,
    number: signal.Signals,
    start_push: Callable[[Path, str], tuple[int, Callable[[], int]]],
) -> None:
    """Whenever it ends, every remote file is a whole one, old or new, and one more push makes all equal.

    Local files change between the killed push and the next, which must not look like somebody else's change.
    """
    chance = random.Random(f"{root} {number}")  # noqa: S311 - which moments, not which secrets
    data = tmp_path / "data"
    names = [f"01_raw/{each}.csv" for each in range(20)] + ["03_primary/large.bin"]
    known: dict[str, set[bytes]] = {name: set() for name in names}

    def change(some: list[str]) -> None:
        for name in some:
            content = chance.randbytes(chance.randint(1, 3000) + (2_500_000 if "large" in name else 0))
            known[name].add(content)
            fill(data, {name: content})

    change(names)
    site.line.delay = 0.004
    pid, status_of = start_push(data, root)
    began = time.monotonic()
    assert status_of() == 0
    whole = time.monotonic() - began
    statuses = set()
    fill(site.folder(root), {"99_foreign/keep.txt": b"not ours"})
    for _ in range(SEEDS):
        change(chance.sample(names, 8) + names[-1:])
        pid, status_of = start_push(data, root)
        time.sleep(chance.uniform(0.0, whole))
        with contextlib.suppress(ProcessLookupError):  # it was sooner
            os.kill(pid, number)
        status = status_of()
        statuses.add(status)
        there = site.files(root)
        assert there.pop("99_foreign/keep.txt") == b"not ours"
        assert all(content in known[name] for name, content in there.items()), "a partial file"
        if status == 0:
            assert there == tree_of(data)
        change(chance.sample(names, 3))
        began = time.monotonic()
        pid, status_of = start_push(data, root)
        assert status_of() == 0
        whole = time.monotonic() - began
        assert site.files(root) == {**tree_of(data), "99_foreign/keep.txt": b"not ours"}
    assert statuses - {0}, "no push was cut short"
    assert statuses <= {0, 130 if number == signal.SIGINT else -number}
