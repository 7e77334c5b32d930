"""Send changed files of the data folder to the data root."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.parallel import both, run_all
from kedro_databricks_hybrid.transfer import checks, local, manifest, upload
from kedro_databricks_hybrid.transfer.files import SMALL, Content, Entry, Listing
from kedro_databricks_hybrid.transfer.local import Digests
from kedro_databricks_hybrid.transfer.manifest import Manifest
from kedro_databricks_hybrid.transfer.plan import OnConflict, Pair, PushPlan, pairs_of, plan_push
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
"""How often a file is sent until it arrives unchanged."""


class InterruptedPushError(TransferError):
    """Ctrl-C: files that arrived are complete, the next push sends the others."""

    exit_status = 130


@dataclass(frozen=True)
class Selection:
    """Which files a push sends.

    Args:
        chosen: Local files and folders; None means the whole data folder.
        results: Local paths that pipelines write: sent only if they do not exist on Databricks.
        on_conflict: What to do with files that changed on both sides.
        layers: Whether to make a remote folder for each data layer.
    """

    chosen: Collection[Path] | None = None
    results: Collection[Path] = ()
    on_conflict: OnConflict = OnConflict.REFUSE
    layers: bool = True


@dataclass(frozen=True)
class Pushed:
    """The result of a push: files and bytes that arrived, and its plan."""

    sent: int
    sent_bytes: int
    plan: PushPlan


@dataclass
class Push:
    """One push from a data folder to a data root: `prepare` compares and plans, `perform` transfers.

    Args:
        tree: The data root.
        data: The local data folder.
        root_key: Identifies the root across workspaces, for the state of this clone.
        progress: Receives the counts.
    """

    tree: RemoteTree
    data: Path
    root_key: str
    progress: Progress = field(default_factory=Progress)

    def prepare(self, selection: Selection) -> PushPlan:
        """Compare local and remote files and plan the push.

        Raises:
            TransferError: A path cannot be sent, or files changed on both sides.
            WorkspaceError: Databricks refused.
        """
        found = local.find_files(self.data, selection.chosen)
        checks.refuse_names(list(found))
        checks.refuse_sizes([(path, status.st_size) for path, status in found.items()], self.tree)
        self._digests = Digests(self.data)
        self._state = CloneState(self.data, self.root_key)
        there = self._list(path.parent for path in found)
        base = self._state.base_contents()
        here = self._read(found, there, base)
        self._digests.save()
        recorded = manifest.KnownContents(self._manifest.entries, self._state.entries)
        pairs = pairs_of(here, there, recorded.contents(there), base)
        pairs = manifest.with_contents(self.tree, pairs, lambda pair: pair.must_be_compared)
        plan = plan_push(
            pairs,
            folders=local.layer_folders(self.data) if selection.layers else (),
            there=self._folders,
            results=[local.inside(self.data, path) for path in selection.results],
            on_conflict=selection.on_conflict,
        )
        if plan.conflicts:
            raise conflict(plan.conflicts)
        return plan

    def perform(self, plan: PushPlan) -> Pushed:
        """Perform a plan, check that the files arrived, and record them in the manifest and in the state.

        Raises:
            InterruptedPushError: Ctrl-C.
            TransferError: A file disappeared, keeps changing, or did not arrive unchanged.
            WorkspaceError: Databricks refused.
        """
        try:
            return self._perform(plan)
        except KeyboardInterrupt:
            raise InterruptedPushError(
                f"Interrupted after {self.progress.files} of {len(plan.send)} files.",
                hint="Push again: files that arrived are kept, the others are sent.",
            ) from None
        finally:
            self._state.close()

    def _perform(self, plan: PushPlan) -> Pushed:
        same = {pair.path: _entry(pair) for pair in plan.same}
        large = [pair.path for pair in plan.send if pair.here and pair.here.size > SMALL]
        for unfinished in self._state.abandoned(large):
            self.tree.abort(unfinished)
            unfinished.close()
        if not (plan.send or plan.make):
            self._record(same, {}, finished=True)
            return Pushed(0, 0, plan)
        self.progress.begin(len(plan.send), sum(pair.here.size for pair in plan.send if pair.here))
        try:
            arrived, vanished = self._send(plan)
        finally:
            self.progress.end()
        self._record(same, arrived, finished=not vanished)
        if vanished:
            raise vanished[0]
        return Pushed(len(arrived), sum(entry.version.size for entry in arrived.values()), plan)

    def _list(self, parents: Iterable[PurePosixPath]) -> dict[PurePosixPath, RemoteFile]:
        """Read the manifest and list the needed folders; check a root that nobody has pushed to."""
        wanted = sorted({_ROOT, *parents})
        may_be_new = not self._state.entries
        requests: list[Callable[[], object]] = [
            lambda: Manifest.read(self.tree, self._state.manifest_cache),
            *(partial(self.tree.list, folder) for folder in wanted),
            *([self.tree.check] if may_be_new else []),
        ]
        read, *listings = run_all(lambda request: request(), requests)
        if read is None and listings[0] is None and not may_be_new:
            self.tree.check()
        self._is_new = read is None
        self._manifest = (
            read if isinstance(read, Manifest) else Manifest(self.tree, self._state.manifest_cache, {})
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
        base: Mapping[PurePosixPath, frozenset[Content]],
    ) -> list[LocalFile]:
        """Read files that may be unchanged by their size; the others are hashed while they are sent."""

        def may_be_equal(path: PurePosixPath, size: int) -> bool:
            sizes = {content.size for content in base.get(path, ())}
            return path in there and size in {there[path].size, *sizes}

        unclear = {
            path: status
            for path, status in found.items()
            if may_be_equal(path, status.st_size) or self._digests.known(path, status)
        }
        return local.as_files(found, local.contents_of(self.data, unclear, self._digests))

    def _send(self, plan: PushPlan) -> tuple[dict[PurePosixPath, Entry], list[TransferError]]:
        files = [pair.here for pair in plan.send if pair.here]
        self._state.will_send(files)
        making = self._to_make([*plan.make, *(file.path.parent for file in files)])
        self._folder_creation = FolderCreation(len(making))
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
            f"{self.tree.root}/{left[0].path} does not arrive unchanged.",
            hint="Check whether something else writes to it, then push again.",
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
        with self._folder_creation.one():
            self.tree.make_folder(folder)

    def _send_one(self, file: LocalFile) -> Content | TransferError:
        try:
            content = self._folder_creation.retry(lambda: self._send_file(file))
        except upload.VanishedError as error:
            return error
        if content.size > SMALL * 64:  # reading it back after an interruption would take long
            there = self.tree.find(file.path)
            if there is not None and there.size == content.size:
                self._state.add_arrived(file.path, Entry(there.version, content.digest))
        self.progress.file_done()
        return content

    def _send_file(self, file: LocalFile) -> Content:
        callbacks = upload.UploadCallbacks(
            self.progress.advance,
            partial(self._state.add_sending, file.path),
            partial(self._state.unfinished, file.path),
        )
        content, stamp = upload.send_file(self.tree, self.data / file.path, file.path, callbacks)
        self._digests.note(file.path, stamp, content)
        return content

    def _verified(self, contents: dict[PurePosixPath, Content]) -> dict[PurePosixPath, Entry]:
        """Return the files whose size in the listing is the size that was sent."""
        folders = sorted({path.parent for path in contents})
        listings = [each for each in run_all(self.tree.list, folders) if each is not None]
        there = {file.path: file for listing in listings for file in listing.files}
        return {
            path: Entry(there[path].version, content.digest)
            for path, content in contents.items()
            if path in there and there[path].size == content.size
        }

    def _record(
        self, same: dict[PurePosixPath, Entry], arrived: dict[PurePosixPath, Entry], *, finished: bool
    ) -> None:
        known = self._manifest.entries
        new = {path: entry for path, entry in {**same, **arrived}.items() if known.get(path) != entry}
        if self._is_new and not self.tree.makes_parents and new and not arrived:
            self.tree.make_folder(manifest.FOLDER)
        any_large = any(entry.version.size > SMALL for entry in arrived.values())
        both(
            lambda: self._manifest.add(new),
            lambda: self.tree.sweep() if any_large else None,
        )
        self._digests.save()
        self._state.mark_synced({**same, **arrived}, finished=finished)


def conflict(pairs: Collection[Pair]) -> TransferError:
    """Return the error for files that changed on both sides, with sizes and times of both."""
    from kedro_databricks_hybrid.transfer.plan import describe_sides

    shown = "; ".join(describe_sides(pair) for pair in list(pairs)[:3])
    more = f"; and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return TransferError(
        f"Changed on both sides, so nothing was transferred: {shown}{more}.",
        hint="`kedro databricks data push --force` sends yours, --theirs keeps the remote ones, "
        "and `kedro databricks data pull --force` downloads the remote ones.",
    )


def _entry(pair: Pair) -> Entry:
    assert pair.there is not None and pair.here is not None  # noqa: S101, PT018 - SAME means both
    return Entry(pair.there.version, pair.here.content.digest)


class FolderCreation:
    """Waits for folders that are made at the same time as files are sent, only where a file needs it.

    Args:
        count: The number of folders to make.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._finished = threading.Event()
        if not count:
            self._finished.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Make one folder; a failure ends the waiting of all files."""
        try:
            yield
        except BaseException:
            self._finished.set()
            raise
        with self._lock:
            self._left -= 1
            if not self._left:
                self._finished.set()

    def retry(self, send: Callable[[], Result]) -> Result:
        """Send a file, and once more if its folder did not exist yet."""
        were_finished = self._finished.is_set()
        try:
            return send()
        except NotFoundError:
            if were_finished:
                raise
            self._finished.wait()
            return send()
