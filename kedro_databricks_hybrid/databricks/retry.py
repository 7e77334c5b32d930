"""Pause between polls, and retry while Databricks cannot be reached or is busy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.databricks.silence import FOLLOWING
from kedro_databricks_hybrid.databricks.transport import is_busy
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ConnectionFailedError, HybridError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.databricks.silence import Silence

    Answer = TypeVar("Answer")

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
    """Repeat a request until Databricks answers, for half an hour at most.

    Args:
        silence: Reports it while Databricks does not answer.
    """

    def __init__(self, silence: Silence) -> None:
        self._silence = silence

    def call(self, request: Callable[[], Answer]) -> Answer:
        """Return the answer to a request.

        Raises:
            HybridError: Databricks refused the request, or did not answer for too long.
        """
        with self._silence.outlasting(FOLLOWING):
            while (answer := _answered(request)) is None:
                with translated("reach Databricks"):
                    self._silence.check()
                time.sleep(_RETRY_PAUSE)
            self._silence.heard()
            return answer[0]


def _answered(request: Callable[[], Answer]) -> tuple[Answer] | None:
    try:
        return (request(),)
    except HybridError as error:
        if not is_transient(error):
            raise
        return None


def is_transient(error: HybridError) -> bool:
    """Tell whether a later retry may succeed: the network failed, or the service is busy or failed itself."""
    return isinstance(error, ConnectionFailedError) or is_busy(error.__cause__)


def is_gone(error: HybridError) -> bool:
    """Tell whether a refusal means that the object no longer exists; its status and text are undocumented."""
    from databricks.sdk.errors import platform

    is_denied = isinstance(error.__cause__, platform.PermissionDenied)
    return isinstance(error, WorkspaceError) and not is_denied and not is_transient(error)
