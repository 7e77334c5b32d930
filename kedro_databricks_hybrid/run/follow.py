"""Follow or cancel a run, on any compute, until its log says how it ended."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kedro_databricks_hybrid.databricks.retry import Backoff, OutageRetry, is_gone, is_transient
from kedro_databricks_hybrid.errors import HybridError, RunError
from kedro_databricks_hybrid.run.local_state import LogPosition
from kedro_databricks_hybrid.run.log import END_FILE, RUN_FILE, RUNS_FOLDER, NodeRun, Outcome, RunLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro_databricks_hybrid.run.local_state import Bookmark
    from kedro_databricks_hybrid.run.log import Record
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_STATUS_EVERY_SECONDS = 4.0
_STATUS_AFTER_CANCEL_SECONDS = 1.0
_LAST_RECORDS_SECONDS = 5.0
_LAST_OF_CANCELLED_SECONDS = 1.5
_CANCEL_SECONDS = 30.0
_CANCEL_TRIES = 3
_CANCEL_PAUSES = (0.5, 1.5)
# Databricks' words about a lost driver: the reason and the next step.
_CAUSES = (
    (
        re.compile(
            r"exit (status|code) (-9|137)\b|OutOfMemory|out of memory|stopped unexpectedly", re.IGNORECASE
        ),
        "it was killed, which usually means that the driver ran out of memory",
        "Run it again with less data at a time, or on a larger driver.",
    ),
    (
        re.compile(r"\[Errno 95\][^\n]*'/dbfs\b"),
        "Python on this compute cannot use /dbfs",
        "Keep the data in a volume: `kedro databricks init --volume=<catalog>.<schema>.<volume>`.",
    ),
)


@dataclass(frozen=True)
class Ending:
    """How Databricks says a run ended; used if the log has no end record. It never means success.

    Args:
        outcome: `failed` or `cancelled`.
        error: The reason, one line.
        traceback: Further output from Databricks.
        hint: The next step, if it is not to fix the code.
    """

    outcome: str
    error: str
    traceback: str = ""
    hint: str | None = None


class Work(Protocol):
    """What performs a run on Databricks: a command in an execution context, or the run of a job."""

    def ending(self) -> Ending | None:
        """Return how the work ended; None while it is running."""

    def cancel(self) -> None:
        """Ask Databricks to stop the work."""

    def abandon(self) -> None:
        """Stop work that is still running after `cancel`."""


@dataclass
class Started:
    """A run that was started, and how far its log has been read.

    Args:
        work: The command or job run that performs it.
        tree: The data root.
        run_id: The run's id, which names its log folder.
        info: The content of run.json: user, commit, branch, env, data root, page and so on.
        end: The content of end.json; used if the log itself has no end record.
    """

    work: Work
    tree: RemoteTree
    run_id: str
    info: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    bookmark: Bookmark | None = None
    _times: list[float] = field(default_factory=list)
    _shown: int = 0

    def __post_init__(self) -> None:
        self.reader = RunLogReader(self.tree, RUNS_FOLDER / self.run_id)
        self._retry = OutageRetry(self.tree.silence)

    def resume(self, bookmark: Bookmark, *, from_start: bool = False) -> None:
        """Continue with the first record that was not shown yet, and save the position from now on.

        Args:
            bookmark: Stores the position.
            from_start: Show the log from its first record anyway.
        """
        self.bookmark = bookmark
        position = None if from_start else bookmark.read()
        if position:
            self.reader.next, self._shown = position.file, position.record
            self.outcome.nodes = {name: NodeRun(**node) for name, node in position.nodes.items()}

    def follow(self, show: Callable[[Record], None], seconds: float = float("inf")) -> Outcome:
        """Read the log to its end, or for a limited time.

        Args:
            show: Called with each record, in order, as soon as it is read.
            seconds: Stop after this time; the outcome has not ended then.

        Returns:
            The outcome in the log, or the one that Databricks reports if the log has no end record.
        """
        if ending := self._read(show, seconds):
            self._store_end(ending)
        if self.bookmark and self.outcome.ended:
            self.bookmark.remove()
        return self.outcome

    def cancel(self, show: Callable[[Record], None]) -> Outcome:
        """Cancel the run and wait for its end; stop the work by force if it does not end.

        Raises:
            RunError: The request to cancel failed, or the work did not end.
        """
        ending = None
        try:
            if self._request_cancel():
                with contextlib.suppress(HybridError):
                    ending = self._read(show, _CANCEL_SECONDS, _STATUS_AFTER_CANCEL_SECONDS)
                if not self.outcome.ended and ending is None:
                    self.work.abandon()
        except HybridError as error:
            raise RunError(
                f"The run {self.run_id} was not cancelled and may still be running: {error.message}",
                hint=f"Cancel it again: `kedro databricks cancel {self.run_id}`.",
            ) from error
        if not self.outcome.ended:
            self._store_end(Ending("cancelled", "The run was cancelled."))
        return self.outcome

    def write_info(self, info: Mapping[str, object]) -> None:
        """Write run.json beside the log, so that any user can follow or cancel the run."""
        self.info = {**info, "t": time.time()}
        content = json.dumps(self.info).encode()
        self.tree.write(RUNS_FOLDER / self.run_id / RUN_FILE, content)

    def _request_cancel(self) -> bool:
        """Request the cancel, with retries; return False if the work no longer exists."""
        backoff = Backoff(*_CANCEL_PAUSES, factor=3)
        tries = 1
        while True:
            try:
                self.work.cancel()
            except HybridError as error:
                if is_gone(error):
                    return False
                if tries == _CANCEL_TRIES or not is_transient(error):
                    raise
            else:
                return True
            tries += 1
            backoff.sleep()

    @property
    def _written_for(self) -> float:
        """Seconds from the log's first record to the last one read."""
        return round(self._times[-1] - self._times[0], 3) if self._times else 0.0

    def _read(
        self,
        show: Callable[[Record], None],
        seconds: float,
        status_every: float = _STATUS_EVERY_SECONDS,
    ) -> Ending | None:
        """Read until the end record; if the work ended without one, return what Databricks reports."""
        deadline = time.monotonic() + seconds
        checked = time.monotonic()
        backoff = Backoff()
        while not self.outcome.ended and time.monotonic() < deadline:
            if self._take_records(show):
                checked = time.monotonic()  # new records show that the work is running
                backoff.restart()
                continue
            if self.end:
                self.outcome.take({"event": "end", **self.end})
                break
            if time.monotonic() - checked > status_every:
                checked = time.monotonic()
                if ending := self._retry.call(self.work.ending):
                    is_cancelled = ending.outcome == "cancelled"
                    wait = _LAST_OF_CANCELLED_SECONDS if is_cancelled else _LAST_RECORDS_SECONDS
                    self._take_last_records(show, wait)
                    return None if self.outcome.ended else ending
            backoff.sleep()
        return None

    def _take_records(self, show: Callable[[Record], None]) -> bool:
        records = self._retry.call(self.reader.records)
        for record in records or []:
            self._times[1:] = [record["t"]]
            self.outcome.take(record)
            if record["n"] > self._shown:
                show(record)
                self._shown = record["n"]
        if records and self.bookmark:
            nodes = {name: asdict(node) for name, node in self.outcome.nodes.items()}
            self.bookmark.move(LogPosition(self.reader.next, self._shown, nodes))
        return records is not None

    def _take_last_records(self, show: Callable[[Record], None], seconds: float) -> None:
        """Read the records that appear after the work has ended, for some seconds."""
        deadline = time.monotonic() + seconds
        while not self.outcome.ended and time.monotonic() < deadline:
            if not self._take_records(show):
                time.sleep(0.2)

    def _store_end(self, ending: Ending) -> None:
        """The driver wrote no end record: use the outcome Databricks reports and store it as end.json."""
        end = {**asdict(ending), "seconds": self._written_for}
        self.outcome.take({"event": "end", **end})
        with contextlib.suppress(HybridError):
            self.tree.write(RUNS_FOLDER / self.run_id / END_FILE, json.dumps(end).encode())


def known_cause(message: str) -> tuple[str, str] | None:
    """Return the reason and the next step that Databricks' message about a lost driver means, if any."""
    return next(((reason, hint) for words, reason, hint in _CAUSES if words.search(message)), None)
