"""State that survives a restart: small JSON documents, and tables for what grows.

Each has a schema: a type for pydantic, made of dataclasses. A file that does not fit is refused when it is
loaded, and the message names it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically
from kedro_databricks_hybrid.sandbox.core.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
    from pathlib import Path

Document = TypeVar("Document")

stored = with_config(ConfigDict(extra="forbid"))
"""The decorator of dataclasses that are stored: a saved one has no other fields than they have."""

_CREATE = "CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, content TEXT)"
_SAVE = "INSERT OR REPLACE INTO documents VALUES (?, ?)"


class Store:
    """JSON documents by name, each written whole: a reader finds the old one or the new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = asyncio.Lock()

    def load(self, name: str, schema: type[Document]) -> Document:
        """Return the document, an empty one if it was never saved.

        Raises:
            ValueError: The file is damaged.
        """
        try:
            return _read(schema, self._path(name).read_bytes())
        except FileNotFoundError:
            return _read(schema, b"{}")
        except ValueError as error:
            raise _damaged(self._path(name), error) from error

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
            table.save_now(self.load(name, dict[int, dict[str, Any]]))
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

    def load(self, schema: type[Document]) -> dict[int, Document]:
        """Return every document by its number.

        Raises:
            ValueError: The file is damaged.
        """
        try:
            with self._database() as database:
                rows = database.execute("SELECT id, content FROM documents ORDER BY id").fetchall()
            return {number: _read(schema, content) for number, content in rows}
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


def passing(check: Callable[[Any], object]) -> AfterValidator:
    """Return the annotation of a field whose saved value must not be refused by a check of the API.

    Args:
        check: Raises an ApiError for an invalid value; may return the value to use in its place.
    """

    def validated(value: Any) -> Any:  # noqa: ANN401
        try:
            found = check(value)
        except ApiError as error:
            raise ValueError(error.message) from error
        return value if found is None else found

    return AfterValidator(validated)


@cache
def _adapter(schema: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", schema))


def _read(schema: type[Document], content: bytes | str) -> Document:
    document: Document = _adapter(cast("Hashable", schema)).validate_json(content)
    return document


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    shown = reason.encode("unicode_escape").decode()[:300].rstrip(".")
    return ValueError(f"{path} is damaged: {shown}. Move it away to start with empty state.")


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()
