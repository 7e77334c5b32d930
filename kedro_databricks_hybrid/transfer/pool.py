"""Doing many things at once, no more than the APIs allow, and stopping at once when told to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Item = TypeVar("Item")
    Result = TypeVar("Result")

CONCURRENCY = 10
"""Requests in flight: about what the Files API allows."""


def run_all(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each item, ten at a time, and return the results in the items' order.

    Its threads do not keep the process alive: on Ctrl-C the KeyboardInterrupt leaves at once, and whatever
    waits for an answer is given up.

    Raises:
        BaseException: The first error of a call; calls that were under way have ended, no others began.
    """
    if len(items) == 1:
        return [function(items[0])]
    work = _Work(function, items)
    threads = [
        threading.Thread(target=work.take_all, name=f"transfer-{number}", daemon=True)
        for number in range(min(CONCURRENCY, len(items)))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        work.stopped.set()
    if work.error is not None:
        raise work.error
    return cast("list[Result]", work.results)


def both(first: Callable[[], Item], second: Callable[[], Result]) -> tuple[Item, Result]:
    """Call two functions at the same time and return what both return."""
    one, other = run_all(lambda call: call(), [cast("Callable[[], object]", first), second])
    return cast("tuple[Item, Result]", (one, other))


class _Work:
    """The items that are left, and what came of the others."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function = cast("Callable[[object], object]", function)
        self._items = enumerate(items)
        self._lock = threading.Lock()
        self.results: list[object] = [None] * len(items)
        self.error: BaseException | None = None
        self.stopped = threading.Event()

    def take_all(self) -> None:
        while not self.stopped.is_set():
            with self._lock:
                index, item = next(self._items, (-1, None))
            if index < 0:
                return
            try:
                self.results[index] = self._function(item)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                with self._lock:
                    self.error = self.error or error
                self.stopped.set()
