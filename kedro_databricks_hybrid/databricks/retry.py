"""Pause between polls, and retry while Databricks cannot be reached or is busy."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import ConnectionFailedError, HybridError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = TypeVar("Answer")

_WARN_AFTER_SECONDS = 5.0
_RETRY_PAUSE = 1.0
_PAUSE_AFTER_NEWS = 0.15
LONGEST_PAUSE = 1.0
"""Seconds between two polls once nothing has happened for a while."""


class Backoff:
    """Pauses that grow: short at first to notice news quickly, longer later to spare the API.

    Args:
        first: The first pause in seconds.
        longest: The longest pause in seconds.
        factor: How much longer each pause is than the one before.
    """

    def __init__(self, first: float = 0.05, longest: float = LONGEST_PAUSE, factor: float = 1.35) -> None:
        self._pause = first
        self._longest = longest
        self._factor = factor

    def sleep(self) -> None:
        """Sleep, longer each time."""
        time.sleep(self._pause)
        self._pause = min(self._pause * self._factor, self._longest)

    def restart(self) -> None:
        """Poll more often again: something happened, so more may follow soon."""
        self._pause = _PAUSE_AFTER_NEWS


class OutageRetry:
    """Repeat a request until Databricks answers; report a long outage once, and once more when it is over.

    Args:
        report: Called with one line, also from another thread.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def call(self, request: Callable[[], Answer]) -> Answer:
        """Return the answer to a request.

        Raises:
            HybridError: Databricks refused the request.
        """
        began = time.monotonic()
        try:
            with delay_reported(self._report, "Databricks has not answered", "The run continues") as reported:
                while (answer := _answered(request)) is None:
                    time.sleep(_RETRY_PAUSE)
                return answer[0]
        finally:
            if reported.is_set():
                self._report(f"Databricks answers again, after {time.monotonic() - began:.0f} s.")


@contextmanager
def delay_reported(report: Callable[[str], None], what: str, meanwhile: str) -> Iterator[threading.Event]:
    """Report once that a block takes long; the event is then set.

    The SDK retries for minutes without any output, so a timer in another thread reports it.

    Args:
        report: Called with one line, from another thread.
        what: What has not happened yet, as it precedes "for 5 s".
        meanwhile: What is the case until then.
    """
    reported = threading.Event()

    def work() -> None:
        reported.set()
        report(f"{what} for {_WARN_AFTER_SECONDS:.0f} s. {meanwhile}; retrying ...")

    timer = threading.Timer(_WARN_AFTER_SECONDS, work)
    timer.daemon = True
    timer.start()
    try:
        yield reported
    finally:
        timer.cancel()


def _answered(request: Callable[[], Answer]) -> tuple[Answer] | None:
    try:
        return (request(),)
    except HybridError as error:
        if not is_transient(error):
            raise
        return None


def is_transient(error: HybridError) -> bool:
    """Tell whether a later retry may succeed: the network failed, or the service is busy or failed itself."""
    from databricks.sdk.errors import platform

    busy_or_failed = (
        platform.InternalError,
        platform.TooManyRequests,
        platform.TemporarilyUnavailable,
        platform.DeadlineExceeded,
    )
    return isinstance(error, ConnectionFailedError) or isinstance(error.__cause__, busy_or_failed)


def is_gone(error: HybridError) -> bool:
    """Tell whether a refusal means that the object no longer exists; its status and text are undocumented."""
    from databricks.sdk.errors import platform

    is_denied = isinstance(error.__cause__, platform.PermissionDenied)
    return isinstance(error, WorkspaceError) and not is_denied and not is_transient(error)
