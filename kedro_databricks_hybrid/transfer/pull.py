"""Bring data from the data root to the local data folder.

A reader sees the old file or the new one, whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import ConnectionFailedError, TransferError
from kedro_databricks_hybrid.transfer import checks, local
from kedro_databricks_hybrid.transfer.concurrency import run_all
from kedro_databricks_hybrid.transfer.files import OURS, Content, Entry
from kedro_databricks_hybrid.transfer.local import PART_SUFFIX, Digests, is_draft
from kedro_databricks_hybrid.transfer.manifest import Manifest, Memory, with_contents
from kedro_databricks_hybrid.transfer.plan import Pair, PullPlan, State, Unit, plan_pull, units_of
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.state import CloneState
from kedro_databricks_hybrid.transfer.trees.protocol import walk
from kedro_databricks_hybrid.transfer.upload_journal import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_TRIES = 3
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class InterruptedPullError(TransferError):
    """Ctrl-C: what has landed is whole, the rest comes next time."""

    exit_status = 130


@dataclass(frozen=True)
class Pulled:
    """What a pull did: files and bytes that came, and its plan, which tells the rest."""

    files: int
    size: int
    plan: PullPlan
    saved: Path | None = None
    """Where local edits lie that had to give way."""


@dataclass
class Pull:
    """One pull from a data root to a data folder: first `prepare`, which moves nothing, then `perform`.

    Args:
        tree: The data root.
        data: The local data folder.
        place: Names the root across workspaces, for what this clone remembers about it.
        progress: Told what goes on.
    """

    tree: RemoteTree
    data: Path
    place: str
    progress: Progress = field(default_factory=Progress)

    def pairs(self, paths: Collection[PurePosixPath]) -> list[Pair]:
        """Put both sides of all files at or below some paths beside each other; reads no remote file."""
        self._state = CloneState(self.data, self.place)
        manifest = Manifest.read(self.tree, self._state.manifest_copies)
        if manifest is None:
            self.tree.check()
        ours = PurePosixPath(OURS)
        walked = run_all(lambda path: walk(self.tree, path, skip=ours), sorted(set(paths)))
        there = {file.path: file for files in walked for file in files}
        found = local.find_files(self.data, [self.data / path for path in paths])
        digests = Digests(self.data)
        here = {file.path: file for file in local.read_files(self.data, found, digests)}
        if self.data.is_dir():
            digests.save()
        before = self._state.before()
        memory = Memory(manifest.entries if manifest else {}, self._state.entries)
        holds = memory.contents(there)
        return [
            Pair(path, here.get(path), there.get(path), holds.get(path), before.get(path, frozenset()))
            for path in sorted(here.keys() | there.keys())
        ]

    def prepare(
        self,
        paths: Collection[PurePosixPath],
        *,
        force: bool = False,
        may_take: Callable[[Sequence[PurePosixPath]], bool] = lambda _: False,
    ) -> PullPlan:
        """Compare both sides and decide.

        Args:
            paths: Files and folders, relative to the root.
            force: Whether to take also what was edited here; it is saved first.
            may_take: Asked about start-up files, if there are any to download.
        """
        pairs = self.pairs(paths)
        checks.refuse_escapes([pair.path for pair in pairs if pair.there])
        plan = plan_pull(units_of(with_contents(self.tree, pairs, _is_unclear)), force=force)
        asked = plan.startup_files
        return plan.without_startup_files() if asked and not may_take(asked) else plan

    def perform(self, plan: PullPlan) -> Pulled:
        """Do what a plan says.

        Raises:
            InterruptedPullError: Ctrl-C.
            MachineError: The disk is full, or the like.
            TransferError: A file cannot be written, or keeps changing there.
            WorkspaceError: Databricks refused.
        """
        in_step = {
            pair.path: Entry(pair.there.version, pair.holds.digest)
            for unit in (*plan.same, *plan.take)
            for pair in unit.pairs
            if pair.there and pair.holds and pair.state is State.SAME
        }
        downloads = plan.downloads
        self.progress.begin(len(downloads), sum(pair.there.size for pair in downloads if pair.there))
        self._saved: Path | None = None
        landed: dict[PurePosixPath, Entry] = {}
        try:
            with checks.writing(self.data):
                self._save_edits(plan)
                if plan.take:
                    with Drafts(self.data).held() as self._drafts:
                        landed = self._take(plan.take)
        except KeyboardInterrupt:
            raise InterruptedPullError(
                f"Interrupted after {self.progress.files} of {len(downloads)} files.",
                hint="Pull again: what landed is kept, the rest comes.",
            ) from None
        finally:
            self.progress.end()
        self._state.in_step({**in_step, **landed}, finished=False)
        return Pulled(len(landed), sum(each.version.size for each in landed.values()), plan, self._saved)

    def _take(self, units: Sequence[Unit]) -> dict[PurePosixPath, Entry]:
        landed: dict[PurePosixPath, Entry] = {}
        for entries in run_all(self._take_file, [unit for unit in units if not unit.is_folder]):
            landed |= entries
        for unit in units:
            if unit.is_folder:
                landed |= self._take_folder(unit)
        return landed

    def _take_file(self, unit: Unit) -> dict[PurePosixPath, Entry]:
        (pair,) = (pair for pair in unit.pairs if pair.there)
        target = self.data / pair.path
        with checks.writing(target), self._draft_of(target) as draft:
            entry = self._download(pair, draft)
            land_file(draft, target)
        return {pair.path: entry}

    def _take_folder(self, unit: Unit) -> dict[PurePosixPath, Entry]:
        target = self.data / unit.path
        wanted = [pair for pair in unit.pairs if pair.there]
        with checks.writing(target), self._draft_of(target) as draft:
            draft.mkdir()
            for pair in wanted:
                if pair.state is State.SAME:
                    same_file(self.data / pair.path, draft / pair.path.relative_to(unit.path))
            missing = [pair for pair in wanted if pair.state is not State.SAME]
            entries = run_all(
                lambda pair: self._download(pair, draft / pair.path.relative_to(unit.path)), missing
            )
            land_folder(draft, target)
        return dict(zip((pair.path for pair in missing), entries, strict=True))

    @contextmanager
    def _draft_of(self, target: Path) -> Iterator[Path]:
        draft = self._drafts.beside(target)
        try:
            yield draft
        finally:
            remove_own(draft)

    def _download(self, pair: Pair, target: Path) -> Entry:
        assert pair.there is not None  # noqa: S101 - only such pairs are taken
        for attempt in range(1, _TRIES + 1):
            try:
                content = self._fetch(pair.there, target)
                break
            except (ConnectionFailedError, TransferError) as error:
                # The SDK has used up its own time already when it says so.
                if attempt == _TRIES or isinstance(error.__cause__, TimeoutError):
                    raise
        self.progress.file_done()
        return Entry(pair.there.version, content.digest)

    def _fetch(self, file: RemoteFile, target: Path) -> Content:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        taken = 0
        with target.open("wb") as out:
            try:
                for chunk in self.tree.chunks(file.path, file.size):
                    out.write(chunk)
                    digest.update(chunk)
                    taken += len(chunk)
                    self.progress.advance(len(chunk))
            except BaseException:
                self.progress.advance(-taken)
                raise
            out.flush()
            os.fsync(out.fileno())
        return Content(digest.hexdigest(), file.size)

    def _save_edits(self, plan: PullPlan) -> None:
        """Keep what was made here and has to give way, since nothing of it lies anywhere else."""
        edited = [
            pair.here
            for unit in plan.take
            if unit.is_edited
            for pair in unit.pairs
            if pair.here and pair.here.content not in pair.before and pair.state is not State.SAME
        ]
        if not edited:
            return
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"  # a second may see two pulls
        self._saved = local.make_own_folder(self.data) / "saved" / name
        for file in edited:
            self._save(file, self._saved)

    def _save(self, file: LocalFile, folder: Path) -> None:
        # A link would be fine for what is renamed away, but a writer may still have the file open.
        copy = folder / file.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"")
        with (self.data / file.path).open("rb") as source, copy.open("wb") as target:
            while block := source.read(1024 * 1024):
                target.write(block)


def _is_unclear(pair: Pair) -> bool:
    """Whether a local file that is no copy of an earlier remote one may be a copy of the present one."""
    return (
        pair.must_be_compared
        and pair.here is not None
        and pair.there is not None
        and pair.here.size == pair.there.size
        and pair.here.content not in pair.before
    )


class Drafts:
    """The drafts of one pull.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._pull = secrets.token_hex(4)
        self._cleared: set[Path] = set()

    @contextlib.contextmanager
    def held(self) -> Iterator[Drafts]:
        """Hold the pull's lock, which keeps other pulls from removing its drafts."""
        local.make_own_folder(self._data)
        place = self._lock_file(self._pull)
        try:
            with place.open("wb") as file:
                with contextlib.suppress(OSError):  # a disk without locks, where no draft is ever removed
                    lock(file.fileno())
                yield self
        finally:
            place.unlink(missing_ok=True)

    def beside(self, target: Path) -> Path:
        """Return a free name for a draft of a file or folder; drafts of dead pulls beside it are removed."""
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._cleared:
            self._cleared.add(folder)
            for left in [entry for entry in folder.iterdir() if is_draft(entry.name)]:
                if not self._lives(_pull_of(left)):
                    remove_own(left)
        return folder / _name(self._pull)

    def _lives(self, pull: str) -> bool:
        if pull == self._pull:
            return True
        try:
            with self._lock_file(pull).open("r+b") as file:
                lock(file.fileno())
        except FileNotFoundError:
            return False
        except OSError:
            return True
        self._lock_file(pull).unlink(missing_ok=True)
        return False

    def _lock_file(self, pull: str) -> Path:
        return local.own_path(self._data, f"{pull}.pulling")


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
        try:
            draft.rename(target)
        except OSError:
            if not os.path.lexists(target):  # otherwise another pull was faster
                raise
        else:
            return
    if _swapped(draft, target):
        remove_own(draft)
    else:
        old = target.with_name(_name(_pull_of(draft)))
        target.rename(old)
        draft.rename(target)
        remove_own(old)


def same_file(source: Path, target: Path) -> None:
    """Make a second name for a file's content, a copy where the disk has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_own(path: Path) -> None:
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


def _name(pull: str) -> str:
    return f".{pull}.{secrets.token_hex(4)}{PART_SUFFIX}"


def _pull_of(draft: Path) -> str:
    return draft.name.split(".")[1]
