"""The comparison of local and remote files, without I/O."""

from __future__ import annotations

from itertools import product
from pathlib import PurePosixPath

import pytest

from kedro_databricks_hybrid.transfer import manifest
from kedro_databricks_hybrid.transfer.files import Content, Entry, LocalFile, RemoteFile, Version
from kedro_databricks_hybrid.transfer.plan import (
    OnConflict,
    Pair,
    State,
    plan_pull,
    plan_push,
    spark_folders,
    units_of,
)

PATH = PurePosixPath("01_raw/a.csv")
OLD, MINE, THEIRS = Content("old", 3), Content("mine", 4), Content("theirs", 6)
EMPTY = Content("", 0)


def pair(here: Content | None, there: Content | None, before: Content | None = OLD) -> Pair:
    """Return a path with these contents."""
    return Pair(
        PATH,
        LocalFile(PATH, here) if here else None,
        RemoteFile(PATH, there.size, 1) if there else None,
        there,
        frozenset([before] if before else []),
    )


CASES = [
    (OLD, OLD, OLD, State.SAME),
    (MINE, OLD, OLD, State.CHANGED_HERE),
    (OLD, THEIRS, OLD, State.CHANGED_THERE),
    (MINE, THEIRS, OLD, State.CHANGED_BOTH),
    (MINE, MINE, OLD, State.SAME),
    (MINE, THEIRS, None, State.CHANGED_BOTH),
    (MINE, MINE, None, State.SAME),
    (MINE, None, OLD, State.ONLY_HERE),
    (None, THEIRS, OLD, State.ONLY_THERE),
]


@pytest.mark.parametrize(("here", "there", "before", "state"), CASES)
def test_the_state_of_two_sides(
    here: Content | None, there: Content | None, before: Content | None, state: State
) -> None:
    """The last common content decides which side changed."""
    assert pair(here, there, before).state is state


@pytest.mark.parametrize(("case", "on_conflict"), list(product(CASES[:8], OnConflict)))
def test_a_push_never_replaces_what_it_does_not_know(
    case: tuple[Content | None, Content | None, Content | None, State], on_conflict: OnConflict
) -> None:
    """Without --force, a remote file is replaced only if its content came from this clone."""
    here, there, before, _ = case
    plan = plan_push([pair(here, there, before)], on_conflict=on_conflict)
    overwritten = bool(plan.send) and there is not None
    if on_conflict is not OnConflict.MINE:
        assert not overwritten or there == before
    groups = (plan.send, plan.same, plan.changed_there, plan.conflicts, plan.kept, plan.results)
    assert sum(len(group) for group in groups) == 1


def test_an_unknown_content_of_a_possible_size_must_be_compared() -> None:
    """An unknown remote content is compared only if its size is that of a known content."""
    here = LocalFile(PATH, MINE)
    sizes = {size: Pair(PATH, here, RemoteFile(PATH, size), None, frozenset([OLD])) for size in (3, 4, 5)}
    assert {size: one.must_be_compared for size, one in sizes.items()} == {3: True, 4: True, 5: False}


def test_outputs_that_exist_on_databricks_are_not_sent() -> None:
    """Outputs that exist on Databricks are not sent, also in a folder that a pipeline writes."""
    plan = plan_push([pair(MINE, OLD)], results=[PurePosixPath("01_raw")])
    assert (plan.send, len(plan.results)) == ((), 1)


def test_spark_folders_are_found_by_their_files() -> None:
    """Spark folders are recognized by parts, partitions, markers and Delta logs; others are not."""
    names = [
        "a/part-0.parquet",
        "b/species=x/part-0.parquet",
        "c/_SUCCESS",
        "d/_delta_log/0.json",
        "d/x.parquet",
        "e/plain.csv",
        "f/2024-01-01T00.00.00.000Z/f/part-0",
        "part-0",  # the data folder itself is no table
    ]
    found = spark_folders([PurePosixPath(name) for name in names])
    assert sorted(map(str, found)) == ["a", "b", "c", "d", "f/2024-01-01T00.00.00.000Z/f"]


def test_a_pull_ignores_files_that_are_only_here() -> None:
    """A pull neither counts nor changes files that exist only locally."""
    assert plan_pull(units_of([pair(MINE, None)]), force=True).take == ()


def _part(name: str, here: Content | None, there: Content | None, before: Content | None = None) -> Pair:
    path = PurePosixPath("table") / name
    return Pair(
        path,
        LocalFile(path, here) if here else None,
        RemoteFile(path, there.size, 1) if there else None,
        there,
        frozenset([before] if before else []),
    )


@pytest.mark.parametrize(
    ("parts", "state", "is_own"),
    [
        ([_part("part-0", OLD, OLD, OLD)], State.SAME, False),
        ([_part("part-0", MINE, None), _part("part-1", None, THEIRS)], State.CHANGED_BOTH, True),
        ([_part("part-0", MINE, None), _part("part-1", None, OLD, OLD)], State.CHANGED_HERE, False),
        ([_part("part-0", OLD, None, OLD), _part("part-1", None, THEIRS)], State.CHANGED_THERE, False),
        ([_part("part-0", MINE, None)], State.ONLY_HERE, True),
        ([_part("part-0", None, THEIRS)], State.ONLY_THERE, True),
    ],
)
def test_a_folder_of_spark_has_one_state(parts: list[Pair], state: State, is_own: bool) -> None:
    """A Spark folder has one state, since each run gives its parts new names."""
    marker = _part("_SUCCESS", EMPTY, EMPTY) if len(parts) > 1 else parts[0]
    (unit,) = units_of({each.path: each for each in (*parts, marker)}.values(), with_local=True)
    assert (unit.is_folder, unit.state, unit.is_own, unit.must_be_compared) == (True, state, is_own, False)


def test_manifests_merge_to_the_newest_whatever_the_order() -> None:
    """The server's modification times decide, not the order in which files were read."""
    old = {PATH: Entry(Version(3, 1), "old")}
    new = {PATH: Entry(Version(4, 2), "new")}
    assert manifest.merge([old, new]) == manifest.merge([new, old]) == new


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_an_incomplete_manifest_file_has_no_entries(cut: int) -> None:
    """An incomplete manifest file has no entries and is no error."""
    whole = manifest.as_bytes({PATH: Entry(Version(3, 1), "d" * 64)})
    assert manifest.from_bytes(whole) == {PATH: Entry(Version(3, 1), "d" * 64)}
    assert manifest.from_bytes(whole[:cut]) == {}
