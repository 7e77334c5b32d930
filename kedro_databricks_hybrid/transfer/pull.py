"""Bringing data from the data root to the local data folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import ConnectionFailedError, TransferError
from kedro_databricks_hybrid.transfer import knowledge, landing, local, own_folder, refusals
from kedro_databricks_hybrid.transfer.clone_state import CloneState
from kedro_databricks_hybrid.transfer.digests import Digests
from kedro_databricks_hybrid.transfer.files import OURS, Content, Entry
from kedro_databricks_hybrid.transfer.manifest import Manifest
from kedro_databricks_hybrid.transfer.plan import Pair, State
from kedro_databricks_hybrid.transfer.pool import run_all
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.pull_plan import PullPlan, Unit, plan_pull, units_of
from kedro_databricks_hybrid.transfer.remote import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_TRIES = 3


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
        memory = knowledge.Memory(manifest.entries if manifest else {}, self._state.entries)
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
        refusals.refuse_escapes([pair.path for pair in pairs if pair.there])
        plan = plan_pull(units_of(knowledge.compared(self.tree, pairs, _is_unclear)), force=force)
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
            with refusals.writing(self.data):
                self._save_edits(plan)
                if plan.take:
                    with landing.Drafts(self.data).held() as self._drafts:
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
        with refusals.writing(target), self._draft_of(target) as draft:
            entry = self._download(pair, draft)
            landing.land_file(draft, target)
        return {pair.path: entry}

    def _take_folder(self, unit: Unit) -> dict[PurePosixPath, Entry]:
        target = self.data / unit.path
        wanted = [pair for pair in unit.pairs if pair.there]
        with refusals.writing(target), self._draft_of(target) as draft:
            draft.mkdir()
            for pair in wanted:
                if pair.state is State.SAME:
                    landing.same_file(self.data / pair.path, draft / pair.path.relative_to(unit.path))
            missing = [pair for pair in wanted if pair.state is not State.SAME]
            entries = run_all(
                lambda pair: self._download(pair, draft / pair.path.relative_to(unit.path)), missing
            )
            landing.land_folder(draft, target)
        return dict(zip((pair.path for pair in missing), entries, strict=True))

    @contextmanager
    def _draft_of(self, target: Path) -> Iterator[Path]:
        draft = self._drafts.beside(target)
        try:
            yield draft
        finally:
            landing.remove(draft)

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
        self._saved = own_folder.make(self.data) / "saved" / name
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
