"""Plan a push or a pull from the local files, the remote files and their last common contents. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Content, LocalFile, RemoteFile


class State(Enum):
    """How the local file and the remote file of one path differ."""

    SAME = "same"
    ONLY_HERE = "only here"
    ONLY_THERE = "only there"
    CHANGED_HERE = "changed here"
    CHANGED_THERE = "changed there"
    CHANGED_BOTH = "changed on both sides"


@dataclass(frozen=True)
class Pair:
    """One path: its local file, its remote file and their contents.

    Args:
        path: Relative to the data folder, and to the data root.
        here: The local file, None if it does not exist.
        there: The remote file, None if it does not exist.
        remote_content: The content of the remote file, None if it is not known.
        base: Remote contents that came from this clone or were pulled to it: the content that both files had
            after the last transfer, and those that an interrupted push was sending.
    """

    path: PurePosixPath
    here: LocalFile | None = None
    there: RemoteFile | None = None
    remote_content: Content | None = None
    base: frozenset[Content] = frozenset()

    @property
    def must_be_compared(self) -> bool:
        """Whether the remote file has to be read to know its state: the sizes alone do not decide it."""
        if self.here is None or self.there is None or self.remote_content is not None or self._are_empty:
            return False
        return self.there.size in {self.here.size, *(content.size for content in self.base)}

    def as_listed(self) -> Pair:
        """Return the pair for commands that only list files and read no remote one.

        If the local file was edited since the last transfer, a remote file that has the size of what was
        transferred counts as that.
        """
        if not self.must_be_compared or not self.here or self.here.content in self.base:
            return self
        known = (content for content in self.base if self.there and content.size == self.there.size)
        return replace(self, remote_content=next(known, None))

    @property
    def state(self) -> State:
        """How the two files differ; an unknown remote content counts as somebody else's change."""
        if self.here is None:
            return State.ONLY_THERE
        if self.there is None:
            return State.ONLY_HERE
        if self.remote_content == self.here.content or self._are_empty:
            return State.SAME
        if self.remote_content in self.base:
            return State.CHANGED_HERE
        return State.CHANGED_THERE if self.here.content in self.base else State.CHANGED_BOTH

    @property
    def _are_empty(self) -> bool:
        return self.here is not None and self.there is not None and self.here.size == self.there.size == 0


class OnConflict(Enum):
    """What a push does with files that changed on both sides."""

    REFUSE = "refuse"
    MINE = "mine"
    THEIRS = "theirs"


@dataclass(frozen=True)
class PushPlan:
    """What a push does.

    Args:
        send: Files to send.
        make: Folders to make.
        same: Files that are equal already.
        changed_there: Files that changed on Databricks only; not sent.
        conflicts: Files that changed on both sides and stop the push.
        kept: Files that changed on both sides and stay as they are on Databricks, as asked for.
        results: Outputs of pipelines that exist on Databricks, where the cluster wrote them; not sent.
    """

    send: tuple[Pair, ...] = ()
    make: tuple[PurePosixPath, ...] = ()
    same: tuple[Pair, ...] = ()
    changed_there: tuple[Pair, ...] = ()
    conflicts: tuple[Pair, ...] = ()
    kept: tuple[Pair, ...] = ()
    results: tuple[Pair, ...] = ()


def plan_push(
    pairs: Sequence[Pair],
    *,
    folders: Collection[PurePosixPath] = (),
    there: Collection[PurePosixPath] = (),
    results: Collection[PurePosixPath] = (),
    on_conflict: OnConflict = OnConflict.REFUSE,
) -> PushPlan:
    """Decide what to send.

    Args:
        pairs: A pair for each local file; those that had to be compared have been.
        folders: Folders that should exist on Databricks.
        there: Folders that exist on Databricks.
        results: Files and folders that pipelines write: sent only where none exists on Databricks.
        on_conflict: What to do with files that changed on both sides; MINE also sends files that changed on
            Databricks only.
    """
    by_state: dict[State, list[Pair]] = {state: [] for state in State}
    left_results: list[Pair] = []
    for pair in pairs:
        is_result = bool(results) and (
            pair.path in results or any(parent in results for parent in pair.path.parents)
        )
        differs = pair.state not in {State.SAME, State.ONLY_HERE}
        if is_result and differs and on_conflict is not OnConflict.MINE:
            left_results.append(pair)
        else:
            by_state[pair.state].append(pair)
    send = by_state[State.ONLY_HERE] + by_state[State.CHANGED_HERE]
    both, theirs = by_state[State.CHANGED_BOTH], by_state[State.CHANGED_THERE]
    if on_conflict is OnConflict.MINE:
        send, both, theirs = send + both + theirs, [], []
    return PushPlan(
        send=tuple(sorted(send, key=lambda pair: pair.path)),
        make=tuple(sorted(set(folders) - set(there))),
        same=tuple(by_state[State.SAME]),
        changed_there=tuple(theirs),
        conflicts=tuple(both) if on_conflict is OnConflict.REFUSE else (),
        kept=tuple(both) if on_conflict is OnConflict.THEIRS else (),
        results=tuple(left_results),
    )


def pairs_of(
    here: Sequence[LocalFile],
    there: Mapping[PurePosixPath, RemoteFile],
    remote_content: Mapping[PurePosixPath, Content],
    base: Mapping[PurePosixPath, frozenset[Content]],
) -> list[Pair]:
    """Return a pair for each local file."""
    return [
        Pair(
            file.path,
            file,
            there.get(file.path),
            remote_content.get(file.path),
            base.get(file.path, frozenset()),
        )
        for file in here
    ]


_EDITED = {State.CHANGED_HERE, State.CHANGED_BOTH}
_CHANGED_THERE = {State.CHANGED_THERE, State.CHANGED_BOTH}


@dataclass(frozen=True)
class Unit:
    """What a pull replaces in one step: a file, or a folder that Spark wrote, which is only valid as a whole.

    Args:
        path: The file or the folder.
        pairs: The file itself, or all local and remote files of the folder; also local files in the way:
            files in a folder of the file's name, or a file of the folder's name.
        is_folder: Whether it is a folder.
    """

    path: PurePosixPath
    pairs: tuple[Pair, ...]
    is_folder: bool = False

    @property
    def is_same(self) -> bool:
        """Whether all its files are equal already."""
        return all(pair.state is State.SAME for pair in self.pairs)

    @property
    def is_edited(self) -> bool:
        """Whether replacing it would lose a local change."""
        return any(pair.state in _EDITED or _is_local_only(pair) for pair in self.pairs)

    @property
    def is_own(self) -> bool:
        """Whether nothing of it was ever transferred: a local run may have written it."""
        return not any(pair.base for pair in self.pairs)

    @property
    def must_be_compared(self) -> bool:
        """Whether a remote file has to be read to know its state."""
        return any(pair.must_be_compared for pair in self.pairs)

    @property
    def state(self) -> State:
        """How the two sides differ, as a whole."""
        if not self.is_folder:
            return self.pairs[0].state
        if self.is_same:
            return State.SAME
        for missing, state in (("here", State.ONLY_THERE), ("there", State.ONLY_HERE)):
            if not any(getattr(pair, missing) for pair in self.pairs):
                return state
        theirs = any(pair.state in _CHANGED_THERE or _is_changed_alone(pair) for pair in self.pairs)
        if not theirs:
            return State.CHANGED_HERE
        return State.CHANGED_BOTH if self.is_edited else State.CHANGED_THERE


@dataclass(frozen=True)
class PullPlan:
    """What a pull does.

    Args:
        take: Units to download.
        same: Units that are equal already.
        kept: Units that were edited locally and stay as they are.
        left_out: Units with start-up files that the user did not accept.
    """

    take: tuple[Unit, ...] = ()
    same: tuple[Unit, ...] = ()
    kept: tuple[Unit, ...] = ()
    left_out: tuple[Unit, ...] = ()

    @property
    def startup_files(self) -> list[PurePosixPath]:
        """The files to download that programs run at their start."""
        return [pair.path for pair in self.downloads if judge(pair.path) is Verdict.ASK]

    def without_startup_files(self) -> PullPlan:
        """Return the plan without the units that contain start-up files."""
        asked = set(self.startup_files)
        left_out = tuple(unit for unit in self.take if any(pair.path in asked for pair in unit.pairs))
        return replace(self, take=tuple(u for u in self.take if u not in left_out), left_out=left_out)

    @property
    def downloads(self) -> list[Pair]:
        """The files to download."""
        return [
            pair for unit in self.take for pair in unit.pairs if pair.there and pair.state is not State.SAME
        ]


def units_of(pairs: Iterable[Pair], *, with_local: bool = False) -> list[Unit]:
    """Group pairs into units: one for each folder that Spark wrote, and one for each other file.

    Args:
        pairs: The pairs.
        with_local: Also return units that are only here. Otherwise, local files without a remote one are
            ignored, unless they are in the way.
    """
    known = sorted(pairs, key=lambda pair: pair.path)
    there = {pair.path for pair in known if pair.there or with_local}
    folders = spark_folders(there)
    grouped: dict[PurePosixPath, list[Pair]] = {path: [] for path in sorted(there | folders)}
    for pair in known:
        candidates = (*reversed(pair.path.parents), pair.path)
        folder = next((each for each in candidates if each in folders), None)
        unit = folder or next((each for each in candidates if each in there), None)
        if unit is not None:
            grouped[unit].append(pair)
    return [
        Unit(path, tuple(members), is_folder=path in folders) for path, members in grouped.items() if members
    ]


def spark_folders(paths: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the folders that Spark wrote: those with `_SUCCESS`, `part-...` files or a Delta log.

    Partitions by column, such as `species=setosa`, belong to the outer folder.
    """
    found: set[PurePosixPath] = set()
    for path in paths:
        if "_delta_log" in path.parts[:-1]:
            found.add(next(each.parent for each in path.parents if each.name == "_delta_log"))
        elif path.name == "_SUCCESS" or path.name.startswith("part-"):
            folder = path.parent
            while "=" in folder.name:  # a partition by column, such as species=setosa
                folder = folder.parent
            if folder.parts:
                found.add(folder)
    return {folder for folder in found if not any(parent in found for parent in folder.parents)}


def plan_pull(units: Sequence[Unit], *, force: bool) -> PullPlan:
    """Decide what to download.

    Args:
        units: The units to pull; those that had to be compared have been.
        force: Whether to replace local edits, too.
    """
    same = tuple(unit for unit in units if unit.is_same)
    kept = tuple(unit for unit in units if not unit.is_same and unit.is_edited and not force)
    take = tuple(unit for unit in units if unit not in same and unit not in kept)
    return PullPlan(take, same, kept)


def _is_local_only(pair: Pair) -> bool:
    """Return whether a file was created locally, and never had a remote version."""
    return pair.state is State.ONLY_HERE and pair.here is not None and pair.here.content not in pair.base


def _is_changed_alone(pair: Pair) -> bool:
    """Return whether Databricks got a file without a local one, or lost one that both sides had."""
    if pair.here is None:
        return pair.remote_content is None or pair.remote_content not in pair.base
    return pair.there is None and pair.here.content in pair.base


def describe_sides(pair: Pair) -> str:
    """Return a path with the sizes and times of its two files, for messages."""
    here = f"here {pair.here.size} bytes of {local_time(pair.here.modified)}" if pair.here else "not here"
    there = (
        f"there {pair.there.size} bytes of {local_time(pair.there.modified)}" if pair.there else "not there"
    )
    return f"{shown(pair.path)} ({here}, {there})"


def local_time(milliseconds: int) -> str:
    """Return a time in ms as local date and time, `-` for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000)) if milliseconds else "-"
