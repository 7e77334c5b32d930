"""Call functions at the same time in threads that do not keep the process alive.

Python waits for the threads of `concurrent.futures` before it exits. These are daemon threads: on Ctrl-C the
KeyboardInterrupt leaves at once, and requests that are still waiting for an answer are abandoned.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Item = TypeVar("Item")
    Result = TypeVar("Result")

CONCURRENCY = 10
"""Calls at the same time: about as many requests as the Files API allows."""


def run_all(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call a function for each item, ten at a time, and return the results in the items' order.

    Raises:
        BaseException: The first error of a call. Calls that had begun have ended; no others begin.
    """
    if len(items) == 1:
        return [function(items[0])]
    calls = _Calls(function, items)
    threads = [
        threading.Thread(target=calls.run, name=f"parallel-{number}", daemon=True)
        for number in range(min(CONCURRENCY, len(items)))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        calls.stopped.set()
    if calls.error is not None:
        raise calls.error
    return cast("list[Result]", calls.results)


def both(first: Callable[[], Item], second: Callable[[], Result]) -> tuple[Item, Result]:
    """Call two functions at the same time and return both results."""
    one, other = run_all(lambda call: call(), [cast("Callable[[], object]", first), second])
    return cast("tuple[Item, Result]", (one, other))


def start(function: Callable[[], Result]) -> Future[Result]:
    """Call a function in a thread and return the future of its result."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="parallel", daemon=True).start()
    return future


class _Calls:
    """The calls that `run_all` distributes among its threads."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function = cast("Callable[[object], object]", function)
        self._items = enumerate(items)
        self._lock = threading.Lock()
        self.results: list[object] = [None] * len(items)
        self.error: BaseException | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        """Take one item after the other until none is left or a call failed."""
        while not self.stopped.is_set():
            with self._lock:
                index, item = next(self._items, (-1, None))
            if index < 0:
                return
            try:
                self.results[index] = self._function(item)
            except BaseException as error:  # noqa: BLE001 - raised again by `run_all`
                with self._lock:
                    self.error = self.error or error
                self.stopped.set()
