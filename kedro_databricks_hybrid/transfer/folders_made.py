"""Folders that are made while the first files travel already."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Result = TypeVar("Result")


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
