"""State that survives a restart: a table with a row for each document."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.core.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Point:
    """A document."""

    x: int


def execute(path: Path, statement: str) -> None:
    """Run SQL on the file of a table."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def test_a_document_is_saved_alone(tmp_path: Path) -> None:
    """Saving or removing a document writes no other rows."""
    table = Store(tmp_path).table("points")
    table.save_now({1: Point(1), 2: Point(2), 3: Point(3)})
    execute(tmp_path / "points.db", "UPDATE documents SET content = '{\"x\": 20}' WHERE id = 2")
    asyncio.run(table.save(1, Point(10)))
    asyncio.run(table.remove([3]))
    assert Store(tmp_path).table("points").load(Point) == {1: Point(10), 2: Point(20)}


def test_the_last_of_two_saves_holds(tmp_path: Path) -> None:
    """Saves that are requested at the same time are written in the order of the calls."""
    table = Store(tmp_path).table("points")

    async def save_twice() -> None:
        await asyncio.gather(*(table.save(1, Point(x)) for x in range(20)))

    asyncio.run(save_twice())
    assert table.load(Point) == {1: Point(19)}


def test_all_documents_or_none(tmp_path: Path) -> None:
    """If one document is not JSON, none is saved."""
    table = Store(tmp_path).table("points")
    with pytest.raises(TypeError):
        table.save_now({1: Point(1), 2: object.__new__(object)})
    assert table.load(Point) == {}


@pytest.mark.parametrize(("name", "content"), [("points.db", b"no database" * 100), ("points.json", b"{")])
def test_a_damaged_table_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """A damaged file, of the current or earlier version, is named in the error and stays unchanged."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged: .* Move it away to start with empty state"):
        Store(tmp_path).table("points")
    assert (tmp_path / name).read_bytes() == content


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    """A damaged row is named by its file."""
    table = Store(tmp_path).table("points")
    execute(tmp_path / "points.db", "INSERT INTO documents VALUES (1, '{')")
    with pytest.raises(ValueError, match=r"points\.db is damaged"):
        table.load(Point)


def test_a_full_disk_is_an_error_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk raises OSError, as for any other file; saved documents stay."""
    table = Store(tmp_path).table("points")
    table.save_now({1: Point(1)})
    connect = sqlite3.connect

    def connect_to_a_full_disk(path: Path) -> sqlite3.Connection:
        database = connect(path)
        database.execute("PRAGMA max_page_count = 1")  # as small as the file is already
        return database

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_full_disk)
    with pytest.raises(OSError, match="full"):
        table.save_now({2: {"x": "x" * 100_000}})
    assert table.load(Point) == {1: Point(1)}
