"""What a push has to do: decided from what lies here, what lies there and what was in step before. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
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
