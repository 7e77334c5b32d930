"""Download data from the data root to the local data folder.

Readers see either the old file or the new one, whole.
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

from kedro_databricks_hybrid.disk import lock
from kedro_databricks_hybrid.errors import ConnectionFailedError, TransferError
from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer import checks, local
from kedro_databricks_hybrid.transfer.files import STATE_FOLDER, Content, Entry
from kedro_databricks_hybrid.transfer.local import PART_SUFFIX, Digests, is_draft
from kedro_databricks_hybrid.transfer.manifest import KnownContents, Manifest, with_contents
from kedro_databricks_hybrid.transfer.plan import Pair, PullPlan, State, Unit, plan_pull, units_of
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.state import CloneState
from kedro_databricks_hybrid.transfer.trees.protocol import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_TRIES = 3
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class InterruptedPullError(TransferError):
    """Ctrl-C: files that were received are complete, the next pull downloads the others."""

    exit_status = 130


@dataclass(frozen=True)
class Pulled:
    """The result of a pull: files and bytes received, and its plan."""

    files: int
    size: int
    plan: PullPlan
    saved: Path | None = None
    """The folder in which replaced local edits were saved."""


@dataclass
class Pull:
    """One pull from a data root to a data folder: `prepare` compares and plans, `perform` transfers.

    Args:
        tree: The data root.
        data: The local data folder.
        root_key: Identifies the root across workspaces, for the state of this clone.
        progress: Receives the counts.
        skip: Folders directly in the data root that belong to other data folders.
    """

    tree: RemoteTree
    data: Path
    root_key: str
    progress: Progress = field(default_factory=Progress)
    skip: Collection[PurePosixPath] = ()

    def pairs(self, paths: Collection[PurePosixPath]) -> list[Pair]:
        """Return a pair for each local or remote file at or below some paths; reads no remote file."""
        self._state = CloneState(self.data, self.root_key)
        manifest = Manifest.read(self.tree, self._state.manifest_cache)
        if manifest is None:
            self.tree.check()
        skip = {PurePosixPath(STATE_FOLDER), *self.skip}
        walked = run_all(lambda path: walk(self.tree, path, skip=skip), sorted(set(paths)))
        there = {file.path: file for files in walked for file in files}
        found = local.find_files(self.data, [self.data / path for path in paths])
        digests = Digests(self.data)
        here = {file.path: file for file in local.read_files(self.data, found, digests)}
        if self.data.is_dir():
            digests.save()
        base = self._state.base_contents()
        recorded = KnownContents(manifest.entries if manifest else {}, self._state.entries)
        contents = recorded.contents(there)
        return [
            Pair(path, here.get(path), there.get(path), contents.get(path), base.get(path, frozenset()))
            for path in sorted(here.keys() | there.keys())
        ]

    def prepare(
        self,
        paths: Collection[PurePosixPath],
        *,
        force: bool = False,
        may_take: Callable[[Sequence[PurePosixPath]], bool] = lambda _: False,
    ) -> PullPlan:
        """Compare local and remote files and plan the pull.

        Args:
            paths: Files and folders, relative to the root.
            force: Whether to replace local edits, too; they are saved first.
            may_take: Returns whether to download these start-up files; called only if there are any.
        """
        pairs = self.pairs(paths)
        checks.refuse_escapes([pair.path for pair in pairs if pair.there])
        plan = plan_pull(units_of(with_contents(self.tree, pairs, _must_read)), force=force)
        startup_files = plan.startup_files
        return plan.without_startup_files() if startup_files and not may_take(startup_files) else plan

    def perform(self, plan: PullPlan) -> Pulled:
        """Perform a plan and record the result in the state.

        Raises:
            InterruptedPullError: Ctrl-C.
            MachineError: The disk is full, read-only or broken.
            TransferError: A file cannot be written, or keeps changing on Databricks.
            WorkspaceError: Databricks refused.
        """
        same = {
            pair.path: Entry(pair.there.version, pair.here.content.digest)
            for unit in (*plan.same, *plan.take)
            for pair in unit.pairs
            if pair.here and pair.there and pair.state is State.SAME
        }
        downloads = plan.downloads
        self.progress.begin(len(downloads), sum(pair.there.size for pair in downloads if pair.there))
        self._saved: Path | None = None
        received: dict[PurePosixPath, Entry] = {}
        try:
            with checks.writing(self.data):
                self._save_edits(plan)
                if plan.take:
                    with Drafts(self.data).locked() as self._drafts:
                        received = self._download_units(plan.take)
        except KeyboardInterrupt:
            raise InterruptedPullError(
                f"Interrupted after {self.progress.files} of {len(downloads)} files.",
                hint="Pull again: files that were received are kept, the others are downloaded.",
            ) from None
        finally:
            self.progress.end()
        self._state.mark_synced({**same, **received}, finished=False)
        return Pulled(len(received), sum(each.version.size for each in received.values()), plan, self._saved)

    def _download_units(self, units: Sequence[Unit]) -> dict[PurePosixPath, Entry]:
        received: dict[PurePosixPath, Entry] = {}
        for entries in run_all(self._download_file, [unit for unit in units if not unit.is_folder]):
            received |= entries
        for unit in units:
            if unit.is_folder:
                received |= self._download_folder(unit)
        return received

    def _download_file(self, unit: Unit) -> dict[PurePosixPath, Entry]:
        (pair,) = (pair for pair in unit.pairs if pair.there)
        target = self.data / pair.path
        with checks.writing(target), self._draft_of(target) as draft:
            entry = self._download_pair(pair, draft)
            move_file(draft, target)
        return {pair.path: entry}

    def _download_folder(self, unit: Unit) -> dict[PurePosixPath, Entry]:
        target = self.data / unit.path
        wanted = [pair for pair in unit.pairs if pair.there]
        with checks.writing(target), self._draft_of(target) as draft:
            draft.mkdir()
            for pair in wanted:
                if pair.state is State.SAME:
                    link_or_copy(self.data / pair.path, draft / pair.path.relative_to(unit.path))
            missing = [pair for pair in wanted if pair.state is not State.SAME]
            entries = run_all(
                lambda pair: self._download_pair(pair, draft / pair.path.relative_to(unit.path)), missing
            )
            move_folder(draft, target)
        return dict(zip((pair.path for pair in missing), entries, strict=True))

    @contextmanager
    def _draft_of(self, target: Path) -> Iterator[Path]:
        draft = self._drafts.beside(target)
        try:
            yield draft
        finally:
            remove(draft)

    def _download_pair(self, pair: Pair, target: Path) -> Entry:
        assert pair.there is not None  # noqa: S101 - only such pairs are downloaded
        for attempt in range(1, _TRIES + 1):
            try:
                content = self._fetch(pair.there, target)
                break
            except (ConnectionFailedError, TransferError) as error:
                # On a TimeoutError the SDK has retried for its whole time limit already.
                if attempt == _TRIES or isinstance(error.__cause__, TimeoutError):
                    raise
        self.progress.file_done()
        return Entry(pair.there.version, content.digest)

    def _fetch(self, file: RemoteFile, target: Path) -> Content:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        received = 0
        with target.open("wb") as out:
            try:
                for chunk in self.tree.chunks(file.path, file.size):
                    out.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    self.progress.advance(len(chunk))
            except BaseException:
                self.progress.advance(-received)
                raise
            out.flush()
            os.fsync(out.fileno())
        return Content(digest.hexdigest(), file.size)

    def _save_edits(self, plan: PullPlan) -> None:
        """Copy local edits that will be replaced to the state folder: no other copy of them exists."""
        edited = [
            pair.here
            for unit in plan.take
            if unit.is_edited
            for pair in unit.pairs
            if pair.here and pair.here.content not in pair.base and pair.state is not State.SAME
        ]
        if not edited:
            return
        # Two pulls may begin in the same second.
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        self._saved = local.make_state_folder(self.data) / "saved" / name
        for file in edited:
            self._save(file, self._saved)

    def _save(self, file: LocalFile, folder: Path) -> None:
        # A hard link would not do: a program that has the file open may still write to it.
        copy = folder / file.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"")
        with (self.data / file.path).open("rb") as source, copy.open("wb") as target:
            while block := source.read(1024 * 1024):
                target.write(block)


def _must_read(pair: Pair) -> bool:
    """Return whether the two files may be equal, which only reading the remote one can tell."""
    sizes = {file.size for file in (pair.here, pair.there) if file}
    return pair.must_be_compared and len(sizes) == 1


class Drafts:
    """The drafts of one pull: files and folders that are not complete yet.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._pull = secrets.token_hex(4)
        self._cleared: set[Path] = set()

    @contextlib.contextmanager
    def locked(self) -> Iterator[Drafts]:
        """Hold the pull's lock, so that other pulls do not remove its drafts."""
        local.make_state_folder(self._data)
        path = self._lock_file(self._pull)
        try:
            with path.open("wb") as file:
                with contextlib.suppress(OSError):  # a disk without locks: then no pull removes drafts
                    lock(file.fileno())
                yield self
        finally:
            path.unlink(missing_ok=True)

    def beside(self, target: Path) -> Path:
        """Return a new path for a draft beside its target, and remove drafts of pulls that have ended."""
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._cleared:
            self._cleared.add(folder)
            for draft in [entry for entry in folder.iterdir() if is_draft(entry.name)]:
                if not self._is_running(_pull_of(draft)):
                    remove(draft)
        return folder / _name(self._pull)

    def _is_running(self, pull: str) -> bool:
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
        return local.state_path(self._data, f"{pull}.pulling")


def move_file(draft: Path, target: Path) -> None:
    """Rename a draft to its target, and remove the checksum file that a local Spark wrote for the old one."""
    checksum = target.with_name(f".{target.name}.crc")
    checksum.unlink(missing_ok=True)
    if target.is_dir() and not target.is_symlink():
        move_folder(draft, target)
    else:
        draft.replace(target)


def move_folder(draft: Path, target: Path) -> None:
    """Rename a draft to its target where the draft or the target is a folder.

    Linux exchanges the two in one step. Elsewhere the target is missing between two renames.
    """
    if not os.path.lexists(target):
        try:
            draft.rename(target)
        except OSError:
            if not os.path.lexists(target):  # otherwise another pull has just made it
                raise
        else:
            return
    if _exchange(draft, target):
        remove(draft)
    else:
        old = target.with_name(_name(_pull_of(draft)))
        target.rename(old)
        draft.rename(target)
        remove(old)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy where the disk has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Remove a draft or a replaced file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; return whether the system supports that."""
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
