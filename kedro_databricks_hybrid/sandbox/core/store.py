"""State that survives a restart: small JSON documents, and tables for what grows."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_CREATE = "CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, content TEXT)"
_SAVE = "INSERT OR REPLACE INTO documents VALUES (?, ?)"


class Store:
    """JSON documents by name, each written whole: a reader finds the old one or the new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = asyncio.Lock()

    def load(self, name: str) -> dict[str, Any]:
        """Return the document, empty if it was never saved.

        Raises:
            ValueError: The file is damaged.
        """
        try:
            document: dict[str, Any] = json.loads(self._path(name).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise _damaged(self._path(name), error) from error
        return document

    def save_now(self, name: str, document: dict[str, Any]) -> None:
        """Save from code outside of the event loop."""
        write_atomically(self._path(name), _encode(document))

    async def save(self, name: str, document: dict[str, Any]) -> None:
        """Save without blocking the event loop; saves take effect in the order of the calls."""
        content = _encode(document)
        async with self._writing:
            await asyncio.to_thread(write_atomically, self._path(name), content)

    def table(self, name: str) -> Table:
        """Return a table; a document of the same name, which an earlier version wrote, is moved into it.

        Raises:
            ValueError: The file is damaged.
        """
        table = Table(self._folder / f"{name}.db")
        earlier = self._path(name)
        if earlier.exists():
            table.save_now({int(key): document for key, document in self.load(name).items()})
            earlier.unlink()
        return table

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


class Table:
    """JSON documents by number in sqlite3, one a row: to save one does not write the others.

    A connection is opened for each call, which takes less than a millisecond and leaves nothing to close.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = asyncio.Lock()
        try:
            with self._database() as database:
                database.execute(_CREATE)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error

    def load(self) -> dict[int, dict[str, Any]]:
        """Return every document by its number.

        Raises:
            ValueError: The file is damaged.
        """
        try:
            with self._database() as database:
                rows = database.execute("SELECT id, content FROM documents ORDER BY id").fetchall()
            return {number: json.loads(content) for number, content in rows}
        except (sqlite3.DatabaseError, ValueError) as error:
            raise _damaged(self._path, error) from error

    def save_now(self, documents: Mapping[int, object]) -> None:
        """Write documents, all or none of them, from code outside of the event loop.

        Args:
            documents: JSON values by number; dataclasses in them are written as objects.
        """
        rows = [(number, json.dumps(document, default=vars)) for number, document in documents.items()]
        with self._database() as database:
            database.executemany(_SAVE, rows)

    async def save(self, number: int, document: object) -> None:
        """Write one document without blocking the event loop; saves take effect in the order of the calls."""
        async with self._writing:
            await asyncio.to_thread(self.save_now, {number: document})

    async def remove(self, numbers: Iterable[int]) -> None:
        """Delete documents."""
        rows = [(number,) for number in numbers]
        if rows:
            async with self._writing:
                await asyncio.to_thread(self._remove_now, rows)

    def _remove_now(self, rows: list[tuple[int]]) -> None:
        with self._database() as database:
            database.executemany("DELETE FROM documents WHERE id = ?", rows)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Give a connection; what is done with it is one transaction."""
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                yield database
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise OSError(errno.ENOSPC, str(error), str(self._path)) from error
            raise


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged: {error}. Move it away to start with empty state.")


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()
