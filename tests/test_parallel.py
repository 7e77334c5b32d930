"""Calls at the same time: results, errors, and Ctrl-C while a call is waiting."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.parallel import CONCURRENCY, both, run_all, start

if TYPE_CHECKING:
    from collections.abc import Callable


def test_results_are_in_the_order_of_the_items() -> None:
    """Results are in the order of the items, whichever call ends first."""
    first_may_end = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            first_may_end.wait()
        if item == CONCURRENCY:
            first_may_end.set()
        return item * item

    items = list(range(3 * CONCURRENCY))
    assert run_all(call, items) == [item * item for item in items]
    assert run_all(abs, []) == []
    assert run_all(abs, [-1]) == [1]
    assert both(lambda: 1, lambda: "two") == (1, "two")


def test_after_an_error_no_other_calls_begin() -> None:
    """After an error no other calls start, and the caller gets the error."""
    begun: list[int] = []

    def call(item: int) -> None:
        begun.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"\d"):
        run_all(call, range(1000))
    assert len(begun) <= CONCURRENCY


def test_a_started_call_returns_or_raises_in_its_future() -> None:
    """A call's result or exception is in its future, as with a standard executor."""
    assert start(lambda: 1).result() == 1
    with pytest.raises(ZeroDivisionError):
        start(lambda: 1 // 0).result()


@pytest.mark.parametrize(
    "wait",
    [lambda call: run_all(lambda _: call(), [1, 2]), lambda call: start(call).result()],
    ids=["run_all", "start"],
)
def test_ctrl_c_leaves_while_a_call_is_waiting(wait: Callable[[Callable[[], None]], object]) -> None:
    """Ctrl-C ends the process while a call waits, since its thread is a daemon."""
    answered = threading.Event()
    threads: list[threading.Thread] = []
    main = threading.get_ident()

    def call() -> None:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            signal.pthread_kill(main, signal.SIGINT)
        answered.wait()

    with pytest.raises(KeyboardInterrupt):
        wait(call)
    assert not answered.is_set()
    assert all(thread.daemon and thread.is_alive() for thread in threads)
    answered.set()
