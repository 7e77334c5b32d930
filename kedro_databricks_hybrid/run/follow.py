"""Follow and cancel a run, whatever it runs on, until its log tells how it ended."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kedro_databricks_hybrid.databricks.retry import Patience, Pauses, is_gone, is_passing
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
_CANCEL_PAUSES = (0.5, 1.5)
OUT_OF_MEMORY = "it was killed, which mostly means that the driver's memory ran out"
OUT_OF_MEMORY_HINT = "Run it again with less data at a time or on a larger driver."
_MEMORY_WORDS = re.compile(
    r"exit status (-9|137)\b|OutOfMemory|out of memory|stopped unexpectedly", re.IGNORECASE
)


@dataclass(frozen=True)
class Ending:
    """How work ended as Databricks tells it; it counts where the log has no end record, and is no success.

    Args:
        outcome: `failed` or `cancelled`.
        error: What to say of it, one line.
        traceback: What else Databricks said.
        hint: What to do then, where that is not to mend the code.
    """

    outcome: str
    error: str
    traceback: str = ""
    hint: str | None = None


class Work(Protocol):
    """What performs a run on Databricks: a command in an execution context, or the run of a job."""

    def ending(self) -> Ending | None:
        """Return how the work ended, None while it goes on."""

    def cancel(self) -> None:
        """Ask for the work to be ended."""

    def abandon(self) -> None:
        """End work that did not heed `cancel`."""


@dataclass
class Started:
    """A run that was started, and how far its log has been read.

    Args:
        work: What performs it.
        tree: The data root.
        run_id: Its name there.
        facts: What else is known of it: user, commit, branch, env, data root, page and so on.
        end: The end that stands beside its log; it counts where the log itself has none.
    """

    work: Work
    tree: RemoteTree
    run_id: str
    facts: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    bookmark: Bookmark | None = None
    _times: list[float] = field(default_factory=list)
    _shown: int = 0

    def __post_init__(self) -> None:
        self.reader = RunLogReader(self.tree, RUNS_FOLDER / self.run_id)

    def resume(self, bookmark: Bookmark, *, from_start: bool = False) -> None:
        """Go on where the screen stopped the last time, and note from now on how far it comes.

        Args:
            bookmark: Where that is noted.
            from_start: Whether to begin anew all the same.
        """
        self.bookmark = bookmark
        place = None if from_start else bookmark.read()
        if place:
            self.reader.next, self._shown = place.file, place.record
            self.outcome.nodes = {name: NodeRun(**facts) for name, facts in place.nodes.items()}

    def follow(
        self,
        show: Callable[[Record], None],
        seconds: float = float("inf"),
        tell: Callable[[str], None] = lambda _: None,
    ) -> Outcome:
        """Read the log to its end, or for so many seconds.

        Args:
            show: Called with each record, in order, as soon as it is there.
            seconds: When to stop; the outcome has not ended then.
            tell: Called with one line when Databricks cannot be reached, and when it can be again.

        Returns:
            What the log says. Where the work is over and no end record comes, the outcome is the work's own.
        """
        if ending := self._read(show, seconds, Patience(tell)):
            self._take(ending)
        if self.bookmark and self.outcome.ended:
            self.bookmark.remove()
        return self.outcome

    def cancel(self, show: Callable[[Record], None]) -> Outcome:
        """End the run and wait for its end; work that does not heed that is abandoned.

        Raises:
            RunError: Databricks could not be asked to end it, or it did not end.
        """
        ending = None
        try:
            if self._ask_to_end():
                with contextlib.suppress(HybridError):
                    patience = Patience(lambda _: None)
                    ending = self._read(show, _CANCEL_SECONDS, patience, _STATUS_AFTER_CANCEL_SECONDS)
                if not self.outcome.ended and ending is None:
                    self.work.abandon()
        except HybridError as error:
            raise RunError(
                f"The run {self.run_id} was not cancelled, so it may go on: {error.message}",
                hint=f"Cancel it once more: `kedro databricks cancel {self.run_id}`.",
            ) from error
        if not self.outcome.ended:
            self._take(Ending("cancelled", "The run was cancelled."))
        return self.outcome

    def note(self, facts: Mapping[str, object]) -> None:
        """Write beside the log what runs where, so that anybody can follow or cancel it."""
        self.facts = {**facts, "t": time.time()}
        content = json.dumps(self.facts).encode()
        self.tree.write(RUNS_FOLDER / self.run_id / RUN_FILE, content)

    def _ask_to_end(self) -> bool:
        """Ask for the end of the work, patiently; return False where it is gone, and the run with it."""
        pauses = iter(_CANCEL_PAUSES)
        while trouble := _trouble(self.work.cancel):
            if is_gone(trouble):
                return False
            pause = next(pauses, None)
            if pause is None or not is_passing(trouble):
                raise trouble
            time.sleep(pause)
        return True

    @property
    def _written_for(self) -> float:
        """Seconds between the log's first record and the last one that was read."""
        return round(self._times[-1] - self._times[0], 3) if self._times else 0.0

    def _read(
        self,
        show: Callable[[Record], None],
        seconds: float,
        patience: Patience,
        status_every: float = _STATUS_EVERY_SECONDS,
    ) -> Ending | None:
        """Read until the end record; return how the work ended where that does not come."""
        deadline = time.monotonic() + seconds
        asked = time.monotonic()
        pauses = Pauses()
        while not self.outcome.ended and time.monotonic() < deadline:
            if self._take_records(show, patience):
                asked = time.monotonic()  # what writes, works
                pauses.reset()
                continue
            if self.end:
                self.outcome.take({"event": "end", **self.end})
                break
            if time.monotonic() - asked > status_every:
                asked = time.monotonic()
                if ending := patience.ask(self.work.ending):
                    is_cancelled = ending.outcome == "cancelled"
                    late = _LAST_OF_CANCELLED_SECONDS if is_cancelled else _LAST_RECORDS_SECONDS
                    self._take_last_records(show, patience, late)
                    return None if self.outcome.ended else ending
            pauses.sleep()
        return None

    def _take_records(self, show: Callable[[Record], None], patience: Patience) -> bool:
        records = patience.ask(self.reader.records)
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

    def _take_last_records(self, show: Callable[[Record], None], patience: Patience, seconds: float) -> None:
        """The work is over; what it wrote last may show up late."""
        deadline = time.monotonic() + seconds
        while not self.outcome.ended and time.monotonic() < deadline:
            if not self._take_records(show, patience):
                time.sleep(0.2)

    def _take(self, ending: Ending) -> None:
        """Let the work's own end stand, here and for others, for the record that the driver did not write."""
        end = {**asdict(ending), "seconds": self._written_for}
        self.outcome.take({"event": "end", **end})
        with contextlib.suppress(HybridError):
            self.tree.write(RUNS_FOLDER / self.run_id / END_FILE, json.dumps(end).encode())


def _trouble(question: Callable[[], None]) -> HybridError | None:
    try:
        question()
    except HybridError as error:
        return error
    return None


def is_out_of_memory(words: str) -> bool:
    """Tell whether what Databricks says of a death is what it says when the driver's memory ran out."""
    return _MEMORY_WORDS.search(words) is not None
