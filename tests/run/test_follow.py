"""Following a run: where output continues, retries in an outage, how often it polls, cancelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


import json
import os
import signal
from pathlib import Path, PurePosixPath

import pytest

from kedro_databricks_hybrid.cli.follow import follow
from kedro_databricks_hybrid.databricks import retry
from kedro_databricks_hybrid.databricks.retry import OutageRetry
from kedro_databricks_hybrid.databricks.silence import Limits, Silence
from kedro_databricks_hybrid.errors import (
    ComputeError,
    ConnectionFailedError,
    LoginError,
    NotFoundError,
    RunError,
    WorkspaceError,
)
from kedro_databricks_hybrid.run import follow as run_follow
from kedro_databricks_hybrid.run.follow import Ending, Started
from kedro_databricks_hybrid.run.local_state import STATE_VARIABLE, Bookmark, LogPosition
from kedro_databricks_hybrid.run.log import RUNS_FOLDER
from tests.run.test_log import Memory

pytestmark = pytest.mark.processes

FOLDER = RUNS_FOLDER / "one"


class Endless:
    """Work that never ends."""

    def ending(self) -> Ending | None:
        """Return None: it has not ended."""
        return None

    def cancel(self) -> None:
        """Accept the request."""

    def abandon(self) -> None:
        """Succeed."""


class Lost(Memory):
    """A data root whose first reads fail with these errors, in order."""

    def __init__(self, *troubles: Exception, silence: Silence | None = None) -> None:
        super().__init__(silence)
        self.troubles = list(troubles)
        self.asked = 0

    def read(self, path: PurePosixPath) -> bytes | None:
        """Raise the next error, else read the file."""
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return super().read(path)


def put(tree: Memory, number: int, *records: dict[str, object]) -> None:
    """Write one file of the log."""
    lines = [json.dumps({"t": 1.0, **record}).encode() + b"\n" for record in records]
    tree.content[FOLDER / f"{number:06d}.jsonl"] = b"".join(lines)


def log_of(tree: Memory) -> None:
    """Write a log of two files, from the first node to the end record."""
    put(tree, 1, {"n": 1, "event": "node_started", "node": "a"}, {"n": 2, "event": "output", "text": "x"})
    end = {"n": 4, "event": "end", "outcome": "completed", "seconds": 1.0}
    put(tree, 2, {"n": 3, "event": "node_finished", "node": "a", "seconds": 1.0}, end)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep state in a temporary folder, and retry without pauses."""
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(retry, "_RETRY_PAUSE", 0.01)


def test_output_continues_where_it_stopped() -> None:
    """A second command prints only records that the first did not; its summary includes all nodes."""
    tree = Memory()
    log_of(tree)
    rest = tree.content.pop(FOLDER / "000002.jsonl")
    shown: list[int] = []
    first = Started(Endless(), cast("RemoteTree", tree), "one")
    first.resume(Bookmark("one"))
    first.follow(lambda record: shown.append(record["n"]), seconds=0.1)
    assert shown == [1, 2]
    tree.content[FOLDER / "000002.jsonl"] = rest
    second = Started(Endless(), cast("RemoteTree", tree), "one")
    second.resume(Bookmark("one"))
    outcome = second.follow(lambda record: shown.append(record["n"]))
    assert shown == [1, 2, 3, 4]
    assert outcome.nodes["a"].completed
    assert Bookmark("one").read() is None


def test_the_beginning_is_shown_when_asked_for() -> None:
    """With `from_start`, the log is printed from its first record each time."""
    tree = Memory()
    log_of(tree)
    tree.content.pop(FOLDER / "000002.jsonl")
    for _ in range(2):
        run = Started(Endless(), cast("RemoteTree", tree), "one")
        shown: list[int] = []
        run.resume(Bookmark("one"), from_start=True)
        run.follow(lambda record: shown.append(record["n"]), seconds=0.1)  # noqa: B023 - called at once
        assert shown == [1, 2]


def test_an_outage_is_retried() -> None:
    """Two reads fail: one message at the start and one at the end of the outage; each record once."""
    said: list[str] = []
    silence = Silence(Limits(first=0.0), said.append)
    tree = Lost(ConnectionFailedError("no answer"), ConnectionFailedError("no answer"), silence=silence)
    log_of(tree)
    shown: list[int] = []
    run = Started(Endless(), cast("RemoteTree", tree), "one")
    outcome = run.follow(lambda record: shown.append(record["n"]))
    assert outcome.outcome == "completed"
    assert shown == [1, 2, 3, 4]
    assert said == [
        "Databricks has not answered for 0 s; giving up after 30 minutes.",
        "Databricks answers again, after 0 s.",
    ]


def test_an_outage_that_lasts_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outage exceeds the time limit: one message, then an error that names the limit."""
    monkeypatch.setattr(retry, "FOLLOWING", 0.05)
    said: list[str] = []
    tree = Lost(
        *[ConnectionFailedError("no answer") for _ in range(100)],
        silence=Silence(Limits(first=0.0), said.append),
    )
    run = Started(Endless(), cast("RemoteTree", tree), "one")
    with pytest.raises(ConnectionFailedError, match=r"no answer \(gave up after 0\.05 s\)"):
        run.follow(lambda _: None)
    assert said == ["Databricks has not answered for 0 s; giving up after 0.05 s."]
    assert tree.troubles


def test_the_services_own_trouble_is_waited_out() -> None:
    """An internal error of Databricks is retried, and the run completes."""
    from databricks.sdk.errors import InternalError

    trouble = WorkspaceError("Could not read: 500")
    trouble.__cause__ = InternalError("oops")
    tree = Lost(trouble)
    log_of(tree)
    assert Started(Endless(), cast("RemoteTree", tree), "one").follow(lambda _: None).outcome == "completed"


def test_a_refusal_is_not_waited_out() -> None:
    """A missing file is an error at once, without a retry."""
    with pytest.raises(NotFoundError):
        OutageRetry(Silence()).call(lambda: Lost(NotFoundError("gone")).read(FOLDER))


def test_questions_become_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Following a quiet run for a minute reads the log about once a second."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    tree = Lost()
    Started(Endless(), cast("RemoteTree", tree), "one").follow(lambda _: None, seconds=60)
    assert 55 <= tree.asked <= 70


def test_a_chatty_log_is_not_asked_for_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Following a log that gets a new file each second costs at most six reads a second."""
    now = [0.0]
    tree = Lost()

    def sleep(seconds: float) -> None:
        now[0] += seconds
        number = int(now[0])
        if number and FOLDER / f"{number:06d}.jsonl" not in tree.content:
            put(tree, number, {"n": number, "event": "output", "text": "x"})

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", sleep)
    Started(Endless(), cast("RemoteTree", tree), "one").follow(lambda _: None, seconds=60)
    assert tree.asked <= 60 * 6


def test_an_end_beside_a_log_that_has_none_counts() -> None:
    """The log has no end record but end.json exists: its outcome is used, and polling stops."""
    tree = Memory()
    put(tree, 1, {"n": 1, "event": "output", "text": "x"})
    end = {"outcome": "failed", "seconds": 1.0, "error": "It died.", "traceback": "", "hint": "Again."}
    shown: list[int] = []
    run = Started(Endless(), cast("RemoteTree", tree), "one", end=end)
    outcome = run.follow(lambda record: shown.append(record["n"]), seconds=5)
    assert (outcome.outcome, outcome.error, outcome.hint, shown) == ("failed", "It died.", "Again.", [1])


def test_work_that_ended_without_an_end_record_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has no end record: the outcome that Databricks reports is used and stored as end.json."""
    monkeypatch.setattr(run_follow, "_STATUS_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(run_follow, "_LAST_RECORDS_SECONDS", 0.1)

    class Dead(Endless):
        def ending(self) -> Ending | None:
            return Ending("failed", "It died.", "its words")

    tree = Memory()
    put(tree, 1, {"n": 1, "event": "node_started", "node": "a"})
    outcome = Started(Dead(), cast("RemoteTree", tree), "one").follow(lambda _: None)
    assert (outcome.outcome, outcome.error, outcome.traceback) == ("failed", "It died.", "its words")
    noted = json.loads(tree.content[FOLDER / "end.json"])
    assert (noted["outcome"], noted["error"], noted["traceback"]) == ("failed", "It died.", "its words")


def test_what_the_work_wrote_last_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records arrive after the work has ended: they are printed, and the log's end record decides."""
    monkeypatch.setattr(run_follow, "_STATUS_EVERY_SECONDS", 0.0)
    tree = Memory()

    class Done(Endless):
        def ending(self) -> Ending | None:
            log_of(tree)
            return Ending("failed", "It died.")

    shown: list[int] = []
    outcome = Started(Done(), cast("RemoteTree", tree), "one").follow(
        lambda record: shown.append(record["n"])
    )
    assert (outcome.outcome, shown) == ("completed", [1, 2, 3, 4])
    assert FOLDER / "end.json" not in tree.content


def test_a_screen_that_stopped_within_a_file_goes_on_there() -> None:
    """A command stopped within a log file: the next one reads it again and prints only the new records."""
    tree = Memory()
    log_of(tree)
    Bookmark("one").move(LogPosition(1, 1, {}))
    shown: list[int] = []
    run = Started(Endless(), cast("RemoteTree", tree), "one")
    run.resume(Bookmark("one"))
    assert run.follow(lambda record: shown.append(record["n"])).nodes["a"].completed
    assert shown == [2, 3, 4]


class Deaf(Endless):
    """Work whose first requests to cancel fail with these errors."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.is_asked = False

    def ending(self) -> Ending | None:
        """Return an end once cancelling has succeeded."""
        return Ending("cancelled", "The run was cancelled.") if self.is_asked else None

    def cancel(self) -> None:
        """Raise the next error, else accept."""
        if self.troubles:
            raise self.troubles.pop(0)
        self.is_asked = True


def cancelled(work: Endless, tree: Memory, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Cancel a run whose log has no end record, and return its outcome."""
    monkeypatch.setattr(run_follow, "_CANCEL_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(run_follow, "_STATUS_AFTER_CANCEL_SECONDS", 0.0)
    monkeypatch.setattr(run_follow, "_LAST_OF_CANCELLED_SECONDS", 0.1)
    return Started(work, cast("RemoteTree", tree), "one").cancel(lambda _: None).outcome


def test_what_could_not_be_cancelled_is_not_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request to cancel fails: an error says that the run may still be running; no end is stored."""
    tree = Memory()
    with pytest.raises(
        RunError, match=r"one was not cancelled and may still be running: no answer\. .*cancel one"
    ):
        cancelled(Deaf(*[ConnectionFailedError("no answer")] * 3), tree, monkeypatch)
    assert not tree.content


def test_a_refused_login_cancels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login expired: cancelling fails with that error."""
    with pytest.raises(RunError, match="expired"):
        cancelled(Deaf(LoginError("expired")), Memory(), monkeypatch)


def test_a_cancel_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request to cancel fails: it is repeated, and the run is cancelled."""
    work = Deaf(ConnectionFailedError("no answer"))
    assert cancelled(work, Memory(), monkeypatch) == "cancelled"
    assert work.is_asked


def test_work_that_heeds_no_cancel_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run does not end when cancelled: its process is ended, and end.json is stored.

    If the process does not end either, an error says that the run may still be running.
    """

    class Stubborn(Endless):
        abandoned = 0

        def abandon(self) -> None:
            self.abandoned += 1

    class Immortal(Endless):
        def abandon(self) -> None:
            raise ComputeError("The process did not end.")

    monkeypatch.setattr(run_follow, "_CANCEL_SECONDS", 0.1)
    work, tree = Stubborn(), Memory()
    assert cancelled(work, tree, monkeypatch) == "cancelled"
    assert work.abandoned == 1
    assert json.loads(tree.content[FOLDER / "end.json"])["outcome"] == "cancelled"
    with pytest.raises(RunError, match="may still be running: The process did not end"):
        cancelled(Immortal(), Memory(), monkeypatch)


def test_work_that_is_gone_counts_as_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context no longer exists: the run counts as cancelled, and end.json is stored."""
    tree = Memory()
    assert cancelled(Deaf(NotFoundError("no such context")), tree, monkeypatch) == "cancelled"
    assert json.loads(tree.content[FOLDER / "end.json"])["outcome"] == "cancelled"


@pytest.fixture
def _interrupts() -> Iterator[None]:
    """Restore the SIGINT handler that a command replaces."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts")
def test_a_run_that_completes_while_its_time_is_over() -> None:
    """The run completes while it is being cancelled after a timeout: it counts as completed.

    Afterwards Ctrl-C is ignored.
    """
    tree = Memory()

    class Late(Endless):
        def cancel(self) -> None:
            log_of(tree)

    run = Started(Late(), cast("RemoteTree", tree), "one")
    assert follow(run, lambda _: None, resume="attach", seconds=0.1).outcome == "completed"
    os.kill(os.getpid(), signal.SIGINT)
