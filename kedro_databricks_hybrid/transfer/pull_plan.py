"""What a pull has to do: which files and folders of parts to take, which local edits to keep. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer.plan import Pair, State
from kedro_databricks_hybrid.unsafe_names import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import PurePosixPath

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
