"""Runs on an interactive cluster: the driver program as one command, its log followed while it works."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import HybridError, WorkspaceError
from kedro_databricks_hybrid.run.command import Pauses
from kedro_databricks_hybrid.run.log import RUN_FILE, Outcome, RunLogReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.run.command import Context
    from kedro_databricks_hybrid.run.log import Record
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_STATUS_EVERY_SECONDS = 2.0
_LAST_RECORDS_SECONDS = 5.0
_CANCEL_SECONDS = 30.0


@dataclass
class Started:
    """A run on a cluster, and how far its log has been read.

    Args:
        context: The execution context it runs in.
        command_id: The command that runs it.
        reader: Its log.
    """

    context: Context
    command_id: str
    reader: RunLogReader
    outcome: Outcome = field(default_factory=Outcome)

    def follow(self, show: Callable[[Record], None], seconds: float = float("inf")) -> Outcome:
        """Read the log to its end, or for so many seconds.

        Args:
            show: Called with each record, in order, as soon as it is there.
            seconds: When to stop; the outcome has not ended then.

        Returns:
            What the log says. Where the command is over and no end record comes, the outcome is `failed`.
        """
        deadline = time.monotonic() + seconds
        asked = time.monotonic()
        pauses = Pauses()
        while not self.outcome.ended and time.monotonic() < deadline:
            if self._take_records(show):
                pauses.reset()
                continue
            if time.monotonic() - asked > _STATUS_EVERY_SECONDS:
                asked = time.monotonic()
                ended, words = self._command_ended()
                if ended:
                    self._take_last_records(show, words)
                    break
            pauses.sleep()
        return self.outcome

    def cancel(self, show: Callable[[Record], None]) -> Outcome:
        """Interrupt the run and wait for its end; a process that does not heed that is ended."""
        try:
            self.context.cancel(self.command_id)
            self.follow(show, _CANCEL_SECONDS)
        except HybridError:
            pass  # the context is gone, and the run with it
        if not self.outcome.ended:
            self.context.destroy()
            self.outcome.outcome = "cancelled"
        return self.outcome

    def _command_ended(self) -> tuple[bool, str]:
        try:
            result = self.context.result(self.command_id)
        except WorkspaceError as error:  # the context is gone: evicted, or with its cluster
            return True, error.message
        return result.ended, result.text

    def _take_records(self, show: Callable[[Record], None]) -> bool:
        records = self.reader.records()
        for record in records or []:
            self.outcome.take(record)
            show(record)
        return records is not None

    def _take_last_records(self, show: Callable[[Record], None], words: str) -> None:
        """The command is over; what it wrote last may show up late. Without an end record it failed."""
        deadline = time.monotonic() + _LAST_RECORDS_SECONDS
        while not self.outcome.ended and time.monotonic() < deadline:
            if not self._take_records(show):
                time.sleep(0.2)
        if not self.outcome.ended:
            self.outcome.outcome = "failed"
            self.outcome.error = "The Python process on the cluster ended before the run did."
            self.outcome.traceback = words


def start(context: Context, request: RunRequest, tree: RemoteTree) -> Started:
    """Start a run and note beside its log which command it is, so that anybody can follow or cancel it."""
    command_id = context.start(request.as_command())
    facts = {**request.all_facts, "t": time.time(), "command_id": command_id}
    tree.write(request.log / RUN_FILE, json.dumps(facts).encode())
    return Started(context, command_id, RunLogReader(tree, request.log))
