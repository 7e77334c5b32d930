"""What a push or a pull has to do: decided from both sides and what they last had in common. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Content, LocalFile, RemoteFile


class State(Enum):
    """How a file here and the one of the same path there relate."""

    SAME = "same"
    ONLY_HERE = "only here"
    ONLY_THERE = "only there"
    CHANGED_HERE = "changed here"
    CHANGED_THERE = "changed there"
    CHANGED_BOTH = "changed on both sides"


@dataclass(frozen=True)
class Pair:
    """One path: the file here, the file there, and what is known of them.

    Args:
        path: Relative to the data folder and to the root alike.
        here: The local file, if there is one.
        there: The remote file, if there is one.
        holds: The content of the remote file, where it is known.
        before: Contents that this clone knows to have been its own there: the one that both sides had when
            they were last in step, and those that an interrupted push was sending.
    """

    path: PurePosixPath
    here: LocalFile | None = None
    there: RemoteFile | None = None
    holds: Content | None = None
    before: frozenset[Content] = frozenset()

    @property
    def must_be_compared(self) -> bool:
        """Whether only reading the remote file can tell whose content it holds."""
        if self.here is None or self.there is None or self.holds is not None:
            return False
        return self.there.size in {self.here.size, *(content.size for content in self.before)}

    @property
    def state(self) -> State:
        """How the two sides relate; a remote content that is not known is a foreign one."""
        if self.here is None:
            return State.ONLY_THERE
        if self.there is None:
            return State.ONLY_HERE
        if self.holds == self.here.content:
            return State.SAME
        if self.holds in self.before:
            return State.CHANGED_HERE
        return State.CHANGED_THERE if self.here.content in self.before else State.CHANGED_BOTH


class Answer(Enum):
    """What to do with files that changed on both sides."""

    REFUSE = "refuse"
    MINE = "mine"
    THEIRS = "theirs"


@dataclass(frozen=True)
class PushPlan:
    """What a push does.

    Args:
        send: Files to send.
        make: Folders to make.
        same: Files that are in step already.
        changed_there: Files left alone, since only the ones there changed.
        conflicts: Files that changed on both sides, in the way of the push.
        kept: Files that changed on both sides, left as they are there because that was asked for.
        results: Results of pipelines, left alone because the ones there are the cluster's.
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
    answer: Answer = Answer.REFUSE,
) -> PushPlan:
    """Decide what to send.

    Args:
        pairs: The local files with what is known of them; whatever must be compared has been.
        folders: Folders that shall exist there.
        there: Folders that do.
        results: Paths that pipelines write, as files or as folders: sent only where nothing is there.
        answer: What to do with files that changed on both sides; MINE sends also where only theirs changed.
    """
    sorted_out: dict[State, list[Pair]] = {state: [] for state in State}
    left: list[Pair] = []
    for pair in pairs:
        is_result = bool(results) and (
            pair.path in results or any(parent in results for parent in pair.path.parents)
        )
        differs = pair.state not in {State.SAME, State.ONLY_HERE}
        if is_result and differs and answer is not Answer.MINE:
            left.append(pair)
        else:
            sorted_out[pair.state].append(pair)
    send = sorted_out[State.ONLY_HERE] + sorted_out[State.CHANGED_HERE]
    both, theirs = sorted_out[State.CHANGED_BOTH], sorted_out[State.CHANGED_THERE]
    if answer is Answer.MINE:
        send, both, theirs = send + both + theirs, [], []
    return PushPlan(
        send=tuple(sorted(send, key=lambda pair: pair.path)),
        make=tuple(sorted(set(folders) - set(there))),
        same=tuple(sorted_out[State.SAME]),
        changed_there=tuple(theirs),
        conflicts=tuple(both) if answer is Answer.REFUSE else (),
        kept=tuple(both) if answer is Answer.THEIRS else (),
        results=tuple(left),
    )


def pairs_of(
    here: Sequence[LocalFile],
    there: Mapping[PurePosixPath, RemoteFile],
    holds: Mapping[PurePosixPath, Content],
    before: Mapping[PurePosixPath, frozenset[Content]],
) -> list[Pair]:
    """Put each local file beside what is known of its path."""
    return [
        Pair(
            file.path,
            file,
            there.get(file.path),
            holds.get(file.path),
            before.get(file.path, frozenset()),
        )
        for file in here
    ]


_EDITED = {State.CHANGED_HERE, State.CHANGED_BOTH}


@dataclass(frozen=True)
class Unit:
    """What lands at once: one file, or a folder that Spark wrote, which only makes sense whole.

    Args:
        path: The file or the folder.
        pairs: The file itself, or all files of the folder on either side, and what is in the way here: files
            below the file's name, or a file of the folder's name.
        is_folder: Whether it is a folder.
    """

    path: PurePosixPath
    pairs: tuple[Pair, ...]
    is_folder: bool = False

    @property
    def is_same(self) -> bool:
        """Whether there is nothing to do."""
        return all(pair.state is State.SAME for pair in self.pairs)

    @property
    def is_edited(self) -> bool:
        """Whether taking it would lose something that was made here."""
        return any(pair.state in _EDITED or _only_ever_here(pair) for pair in self.pairs)


@dataclass(frozen=True)
class PullPlan:
    """What a pull does.

    Args:
        take: What is brought here.
        same: What is in step already.
        kept: What was edited here and stays.
        left_out: What holds start-up files that nobody consented to.
    """

    take: tuple[Unit, ...] = ()
    same: tuple[Unit, ...] = ()
    kept: tuple[Unit, ...] = ()
    left_out: tuple[Unit, ...] = ()

    @property
    def startup_files(self) -> list[PurePosixPath]:
        """The files to download that programs run when they start."""
        return [pair.path for pair in self.downloads if judge(pair.path) is Verdict.ASK]

    def without_startup_files(self) -> PullPlan:
        """Return the plan that takes none of them, nor the rest of a folder that only makes sense whole."""
        asked = set(self.startup_files)
        left_out = tuple(unit for unit in self.take if any(pair.path in asked for pair in unit.pairs))
        return replace(self, take=tuple(u for u in self.take if u not in left_out), left_out=left_out)

    @property
    def downloads(self) -> list[Pair]:
        """The files to download."""
        return [
            pair for unit in self.take for pair in unit.pairs if pair.there and pair.state is not State.SAME
        ]


def units_of(pairs: Iterable[Pair]) -> list[Unit]:
    """Group pairs into units: each folder that Spark wrote is one, every other file stands for itself.

    Files that are only here, and in nobody's way, are none of a pull's business.
    """
    known = sorted(pairs, key=lambda pair: pair.path)
    there = {pair.path for pair in known if pair.there}
    folders = spark_folders(there)
    grouped: dict[PurePosixPath, list[Pair]] = {path: [] for path in sorted(there | folders)}
    for pair in known:
        lines = (*reversed(pair.path.parents), pair.path)
        folder = next((each for each in lines if each in folders), None)
        unit = folder or next((each for each in lines if each in there), None)
        if unit is not None:
            grouped[unit].append(pair)
    return [Unit(path, tuple(own), is_folder=path in folders) for path, own in grouped.items() if own]


def spark_folders(paths: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the folders that hold what Spark writes: `_SUCCESS`, `part-...`, or a Delta log.

    A folder of parts inside another such folder, as partitions by column are, belongs to the outer one.
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
    """Decide what to take.

    Args:
        units: What the pull was asked for; whatever must be compared has been.
        force: Whether to take what was edited here as well.
    """
    same = tuple(unit for unit in units if unit.is_same)
    kept = tuple(unit for unit in units if not unit.is_same and unit.is_edited and not force)
    take = tuple(unit for unit in units if unit not in same and unit not in kept)
    return PullPlan(take, same, kept)


def _only_ever_here(pair: Pair) -> bool:
    """Whether a file without a remote one is a local work, and not one that the cluster has replaced."""
    return pair.state is State.ONLY_HERE and pair.here is not None and pair.here.content not in pair.before


def describe_sides(pair: Pair) -> str:
    """Return a path with size and time of both its files."""
    here = f"here {pair.here.size} bytes of {local_time(pair.here.modified)}" if pair.here else "not here"
    there = (
        f"there {pair.there.size} bytes of {local_time(pair.there.modified)}" if pair.there else "not there"
    )
    return f"{pair.path} ({here}, {there})"


def local_time(milliseconds: int) -> str:
    """Return a time as people here read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000)) if milliseconds else "-"
