"""Sending changed data to the data root."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.transfer import checks, local, manifest, upload
from kedro_databricks_hybrid.transfer.concurrency import both, run_all
from kedro_databricks_hybrid.transfer.files import SMALL, Content, Entry, Listing
from kedro_databricks_hybrid.transfer.local import Digests
from kedro_databricks_hybrid.transfer.manifest import Manifest
from kedro_databricks_hybrid.transfer.plan import Answer, Pair, PushPlan, pairs_of, plan_push
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.state import CloneState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.transfer.files import LocalFile, RemoteFile
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

    Result = TypeVar("Result")

_ROOT = PurePosixPath()
_ROUNDS = 3
"""How often a file is sent that did not arrive as it was sent."""


class InterruptedPushError(TransferError):
    """Ctrl-C: what has arrived is whole, the rest is sent next time."""

    exit_status = 130


@dataclass(frozen=True)
class Wish:
    """What a push shall bring.

    Args:
        chosen: Local files and folders; None takes the whole data folder.
        results: Local paths that pipelines write: sent only where nothing is there.
        answer: What to do with files that changed on both sides.
        layers: Whether every layer folder shall exist there.
    """

    chosen: Collection[Path] | None = None
    results: Collection[Path] = ()
    answer: Answer = Answer.REFUSE
    layers: bool = True


@dataclass(frozen=True)
class Pushed:
    """What a push did: files and bytes that arrived, and its plan, which tells the rest."""

    sent: int
    sent_bytes: int
    plan: PushPlan


@dataclass
class Push:
    """One push from a data folder to a data root: first `prepare`, which moves nothing, then `perform`.

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

    def prepare(self, wish: Wish) -> PushPlan:
        """Compare both sides and decide.

        Raises:
            TransferError: Bad input, or files that changed on both sides.
            WorkspaceError: Databricks refused.
        """
        found = local.find_files(self.data, wish.chosen)
        checks.refuse_names(list(found))
        checks.refuse_sizes([(path, status.st_size) for path, status in found.items()], self.tree)
        self._digests = Digests(self.data)
        self._state = CloneState(self.data, self.place)
        there = self._look(path.parent for path in found)
        before = self._state.before()
        here = self._read(found, there, before)
        self._digests.save()
        memory = manifest.Memory(self._manifest.entries, self._state.entries)
        pairs = pairs_of(here, there, memory.contents(there), before)
        pairs = manifest.with_contents(self.tree, pairs, lambda pair: pair.must_be_compared)
        plan = plan_push(
            pairs,
            folders=local.layer_folders(self.data) if wish.layers else (),
            there=self._folders,
            results=[local.inside(self.data, path) for path in wish.results],
            answer=wish.answer,
        )
        if plan.conflicts:
            raise conflict(plan.conflicts)
        return plan

    def perform(self, plan: PushPlan) -> Pushed:
        """Do what a plan says, prove it, and note it beside the data and here.

        Raises:
            InterruptedPushError: Ctrl-C.
            TransferError: A file vanished, keeps changing, or did not arrive as it was sent.
            WorkspaceError: Databricks refused.
        """
        try:
            return self._perform(plan)
        except KeyboardInterrupt:
            raise InterruptedPushError(
                f"Interrupted after {self.progress.files} of {len(plan.send)} files.",
                hint="Push again: what arrived is kept, the rest is sent.",
            ) from None
        finally:
            self._state.close()

    def _perform(self, plan: PushPlan) -> Pushed:
        same = {pair.path: _entry(pair) for pair in plan.same}
        large = [pair.path for pair in plan.send if pair.here and pair.here.size > SMALL]
        for left in self._state.abandoned(large):
            self.tree.give_up(left)
            left.close()
        if not (plan.send or plan.make):
            self._remember(same, {}, finished=True)
            return Pushed(0, 0, plan)
        self.progress.begin(len(plan.send), sum(pair.here.size for pair in plan.send if pair.here))
        try:
            arrived, vanished = self._send(plan)
        finally:
            self.progress.end()
        self._remember(same, arrived, finished=not vanished)
        if vanished:
            raise vanished[0]
        return Pushed(len(arrived), sum(entry.version.size for entry in arrived.values()), plan)

    def _look(self, parents: Iterable[PurePosixPath]) -> dict[PurePosixPath, RemoteFile]:
        """List the folders that matter; on a root that nobody pushed to, check that it can be used."""
        wanted = sorted({_ROOT, *parents})
        may_be_new = not self._state.entries
        asked: list[Callable[[], object]] = [
            lambda: Manifest.read(self.tree, self._state.manifest_copies),
            *(partial(self.tree.list, folder) for folder in wanted),
            *([self.tree.check] if may_be_new else []),
        ]
        read, *listings = run_all(lambda ask: ask(), asked)
        if read is None and listings[0] is None and not may_be_new:
            self.tree.check()
        self._is_new = read is None
        self._manifest = (
            read if isinstance(read, Manifest) else Manifest(self.tree, self._state.manifest_copies, {})
        )
        there: dict[PurePosixPath, RemoteFile] = {}
        self._folders: set[PurePosixPath] = set()
        for folder, listing in zip(wanted, listings[: len(wanted)], strict=True):
            if isinstance(listing, Listing):
                there.update((file.path, file) for file in listing.files)
                self._folders.update(listing.folders, {folder})
        return there

    def _read(
        self,
        found: local.Found,
        there: Mapping[PurePosixPath, RemoteFile],
        before: Mapping[PurePosixPath, frozenset[Content]],
    ) -> list[LocalFile]:
        """Read the files whose sizes leave it open whether they changed; the others are hashed when sent."""

        def may_be(path: PurePosixPath, size: int) -> bool:
            sizes = {content.size for content in before.get(path, ())}
            return path in there and size in {there[path].size, *sizes}

        unclear = {
            path: status
            for path, status in found.items()
            if may_be(path, status.st_size) or self._digests.known(path, status)
        }
        return local.as_files(found, local.contents_of(self.data, unclear, self._digests))

    def _send(self, plan: PushPlan) -> tuple[dict[PurePosixPath, Entry], list[TransferError]]:
        files = [pair.here for pair in plan.send if pair.here]
        self._state.will_send(files)
        making = self._to_make([*plan.make, *(file.path.parent for file in files)])
        self._making = FoldersMade(len(making))
        arrived: dict[PurePosixPath, Entry] = {}
        vanished: list[TransferError] = []
        left = files
        for _ in range(_ROUNDS):
            jobs: list[Callable[[], object]] = [
                *(partial(self._make, folder) for folder in making),
                *(partial(self._send_one, file) for file in left),
            ]
            answers = run_all(lambda job: job(), jobs)[len(making) :]
            sent = dict(zip((file.path for file in left), answers, strict=True))
            vanished += [each for each in sent.values() if isinstance(each, TransferError)]
            contents = {path: each for path, each in sent.items() if isinstance(each, Content)}
            arrived |= self._verified(contents)
            left = [file for file in left if file.path in contents and file.path not in arrived]
            making = []
            if not left:
                return arrived, vanished
        raise TransferError(
            f"{self.tree.root}/{left[0].path} does not arrive as it was sent.",
            hint="Does something else write there? Push again.",
        )

    def _to_make(self, folders: Iterable[PurePosixPath]) -> list[PurePosixPath]:
        wanted = set(folders) - self._folders - {_ROOT}
        if self.tree.makes_parents:
            return sorted(folder for folder in wanted if len(folder.parts) == 1)
        if self._is_new:
            wanted.add(manifest.FOLDER)
        above = {parent for folder in wanted for parent in folder.parents}
        return sorted(wanted - above)

    def _make(self, folder: PurePosixPath) -> None:
        with self._making.one():
            self.tree.make_folder(folder)

    def _send_one(self, file: LocalFile) -> Content | TransferError:
        try:
            content = self._making.retried(lambda: self._send_file(file))
        except upload.VanishedError as error:
            return error
        if content.size > SMALL * 64:  # nobody wants to compare these again after an interruption
            there = self.tree.find(file.path)
            if there is not None and there.size == content.size:
                self._state.sent(file.path, Entry(there.version, content.digest))
        self.progress.file_done()
        return content

    def _send_file(self, file: LocalFile) -> Content:
        books = upload.UploadNotes(
            self.progress.advance,
            partial(self._state.is_sending, file.path),
            partial(self._state.unfinished, file.path),
        )
        content, stamp = upload.send_file(self.tree, self.data / file.path, file.path, books)
        self._digests.note(file.path, stamp, content)
        return content

    def _verified(self, contents: dict[PurePosixPath, Content]) -> dict[PurePosixPath, Entry]:
        """Return the files that the listing shows with the size in which they were sent."""
        folders = sorted({path.parent for path in contents})
        listings = [each for each in run_all(self.tree.list, folders) if each is not None]
        there = {file.path: file for listing in listings for file in listing.files}
        return {
            path: Entry(there[path].version, content.digest)
            for path, content in contents.items()
            if path in there and there[path].size == content.size
        }

    def _remember(
        self, same: dict[PurePosixPath, Entry], arrived: dict[PurePosixPath, Entry], *, finished: bool
    ) -> None:
        known = self._manifest.entries
        news = {path: entry for path, entry in {**same, **arrived}.items() if known.get(path) != entry}
        if self._is_new and not self.tree.makes_parents and news and not arrived:
            self.tree.make_folder(manifest.FOLDER)
        large = [entry for entry in arrived.values() if entry.version.size > SMALL]
        both(
            lambda: self._manifest.add(news),
            lambda: self.tree.sweep(max(entry.version.modified for entry in large)) if large else None,
        )
        self._digests.save()
        self._state.in_step({**same, **arrived}, finished=finished)


def conflict(pairs: Collection[Pair]) -> TransferError:
    """Return the refusal that tells both facts for files that changed on both sides."""
    from kedro_databricks_hybrid.transfer.plan import describe_sides

    shown = "; ".join(describe_sides(pair) for pair in list(pairs)[:3])
    more = f"; and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return TransferError(
        f"Changed on both sides, so nothing was moved: {shown}{more}.",
        hint="`kedro databricks data push --force` sends yours, --theirs leaves those as they are there, "
        "and `kedro databricks data pull --force` takes theirs.",
    )


def _entry(pair: Pair) -> Entry:
    assert pair.there is not None and pair.holds is not None  # noqa: S101, PT018 - SAME means both
    return Entry(pair.there.version, pair.holds.digest)


class FoldersMade:
    """Tells when all folders are made, which costs no waiting where files need none.

    Args:
        count: How many there are to make.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._over = threading.Event()
        if not count:
            self._over.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Make one; the first failure ends the waiting for all."""
        try:
            yield
        except BaseException:
            self._over.set()
            raise
        with self._lock:
            self._left -= 1
            if not self._left:
                self._over.set()

    def retried(self, send: Callable[[], Result]) -> Result:
        """Send a file, and once more if its folder was not there yet."""
        were_over = self._over.is_set()
        try:
            return send()
        except NotFoundError:
            if were_over:
                raise
            self._over.wait()
            return send()
