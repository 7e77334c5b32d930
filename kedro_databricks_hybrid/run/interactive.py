"""Runs on an interactive cluster: the driver program as one command, its log followed while it works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.run.command import Pauses
from kedro_databricks_hybrid.run.log import Outcome, RunLogReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.run.command import Context
    from kedro_databricks_hybrid.run.log import Record
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_STATUS_EVERY_SECONDS = 2.0
_LAST_RECORDS_SECONDS = 5.0
_CANCEL_SECONDS = 30.0


def run(context: Context, request: RunRequest, tree: RemoteTree, show: Callable[[Record], None]) -> Outcome:
    """Run a request in a context and follow its log to the end.

    Args:
        context: A context that takes commands.
        request: What to run.
        tree: The data root, which holds the log.
        show: Called with each record of the log, in order, as soon as it is there.

    Returns:
        What the log says. Without an end record, the outcome is `failed` and says what is known.

    Raises:
        KeyboardInterrupt: The user interrupted; the run has been cancelled by then.
    """
    command_id = context.start(request.as_command())
    following = _Following(context, command_id, RunLogReader(tree, request.log), show)
    try:
        return following.to_the_end()
    except KeyboardInterrupt:
        _cancel(context, command_id, following)
        raise


class _Following:
    """The log of one run, and the command that writes it."""

    def __init__(
        self, context: Context, command_id: str, reader: RunLogReader, show: Callable[[Record], None]
    ) -> None:
        self._context = context
        self._command_id = command_id
        self._reader = reader
        self._show = show
        self.outcome = Outcome()

    def to_the_end(self, seconds: float = float("inf")) -> Outcome:
        deadline = time.monotonic() + seconds
        asked = time.monotonic()
        pauses = Pauses()
        while not self.outcome.ended and time.monotonic() < deadline:
            if self._take_records():
                pauses.reset()
                continue
            if time.monotonic() - asked > _STATUS_EVERY_SECONDS:
                asked = time.monotonic()
                result = self._context.result(self._command_id)
                if result.ended:
                    self._take_last_records(result.text)
                    break
            pauses.sleep()
        return self.outcome

    def _take_records(self) -> bool:
        records = self._reader.records()
        for record in records or []:
            self.outcome.take(record)
            self._show(record)
        return records is not None

    def _take_last_records(self, words: str) -> None:
        """The command is over; what it wrote last may show up late. Without an end record it failed."""
        deadline = time.monotonic() + _LAST_RECORDS_SECONDS
        while not self.outcome.ended and time.monotonic() < deadline:
            if not self._take_records():
                time.sleep(0.2)
        if not self.outcome.ended:
            self.outcome.outcome = "failed"
            self.outcome.error = "The Python process on the cluster ended before the run did."
            self.outcome.traceback = words


def _cancel(context: Context, command_id: str, following: _Following) -> None:
    """Interrupt the run; a process that does not heed it is ended."""
    try:
        context.cancel(command_id)
        following.to_the_end(_CANCEL_SECONDS)
    except (HybridError, KeyboardInterrupt):
        pass
    if not following.outcome.ended:
        context.destroy()
