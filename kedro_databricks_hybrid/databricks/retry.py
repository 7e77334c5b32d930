"""Retry what a lost network or a busy service interrupts, and pause between polls."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import ConnectionFailedError, HybridError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = TypeVar("Answer")

_SILENT_SECONDS = 5.0
_RETRY_PAUSE = 1.0
_SHORTEST_PAUSE = 0.05
_PAUSE_AFTER_NEWS = 0.15
_LONGER = 1.35
LONGEST_PAUSE = 1.0
"""Seconds between two questions, once nothing has happened for a while."""


def is_passing(error: HybridError) -> bool:
    """Tell a lost network and the service's own trouble, which say nothing of a run, from a refusal."""
    from databricks.sdk.errors import platform

    troubles = (
        platform.InternalError,
        platform.TooManyRequests,
        platform.TemporarilyUnavailable,
        platform.DeadlineExceeded,
    )
    return isinstance(error, ConnectionFailedError) or isinstance(error.__cause__, troubles)


def is_gone(error: HybridError) -> bool:
    """Tell a refusal that means that the work exists no more; its wording and status are not documented."""
    from databricks.sdk.errors import platform

    is_denied = isinstance(error.__cause__, platform.PermissionDenied)
    return isinstance(error, WorkspaceError) and not is_denied and not is_passing(error)


class Patience:
    """Asks until there is an answer; what takes long is said once, and again when it is over.

    The SDK repeats a question for minutes without a word, so a clock beside it speaks.

    Args:
        tell: Called with one line, also from another thread.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer to a question; only a refusal is an error."""
        began = time.monotonic()
        told = threading.Event()
        clock = threading.Timer(_SILENT_SECONDS, self._say_lost, [told])
        clock.daemon = True
        clock.start()
        try:
            while (answer := _answered(question)) is None:
                time.sleep(_RETRY_PAUSE)
            return answer[0]
        finally:
            clock.cancel()
            if told.is_set():
                self._tell(f"Databricks answers again, after {time.monotonic() - began:.0f} s.")

    def _say_lost(self, told: threading.Event) -> None:
        told.set()
        self._tell(
            f"Databricks has not answered for {_SILENT_SECONDS:.0f} s. The run goes on; trying again ..."
        )


def _answered(question: Callable[[], Answer]) -> tuple[Answer] | None:
    try:
        return (question(),)
    except HybridError as error:
        if not is_passing(error):
            raise
        return None


class Pauses:
    """Short at first, then longer, so that polling is quick to notice and light on the API."""

    def __init__(self) -> None:
        self._pause = _SHORTEST_PAUSE

    def sleep(self) -> None:
        """Sleep, longer each time."""
        time.sleep(self._pause)
        self._pause = min(self._pause * _LONGER, LONGEST_PAUSE)

    def reset(self) -> None:
        """Start over: something happened, and more may follow, but hardly at once."""
        self._pause = _PAUSE_AFTER_NEWS
