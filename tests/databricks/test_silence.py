"""Requests without an answer: the messages while waiting, and the error after the time limit."""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.databricks import clusters, silence, workspace
from kedro_databricks_hybrid.databricks.silence import Limits, Server, Silence
from kedro_databricks_hybrid.errors import SandboxError
from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.connection import Connection
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOON = Limits(first=0.01, again=0.01, most=60)


@pytest.fixture
def unanswered() -> Iterator[Callable[[], bool]]:
    """Return a request that is answered only when the test ends."""
    over = threading.Event()
    yield over.wait
    over.set()


def test_a_silence_is_told_until_it_is_over() -> None:
    """Two requests wait: one shared message repeats, with the reason, until Databricks answers."""
    said: queue.Queue[str] = queue.Queue()
    quiet = Silence(SOON, said.put)
    answers = threading.Event()

    def ask(number: int) -> int:
        quiet.failed("Connection refused")
        assert answers.wait(60)
        return number

    waiting = threading.Thread(target=run_all, args=(lambda number: quiet.watch(lambda: ask(number)), [1, 2]))
    waiting.start()
    for _ in range(3):
        assert said.get(timeout=60).endswith("s (Connection refused); giving up after 60 s.")
    answers.set()
    waiting.join()
    lines = list(said.queue)
    assert [line for line in lines if "answers again" in line] == lines[-1:]
    assert quiet.watch(lambda: "answer") == "answer"


def test_a_request_may_end_without_an_answer() -> None:
    """A silence is not reported as over if the request may have ended without an answer."""
    said: queue.Queue[str] = queue.Queue()
    quiet = Silence(SOON, said.put)
    assert "has not answered" in quiet.wait(lambda: said.get(timeout=60))
    assert [line for line in said.queue if "answers again" in line] == []


def test_who_waits_gives_up(unanswered: Callable[[], bool]) -> None:
    """After the time limit that the message named, a request ends with a TimeoutError."""
    said: list[str] = []
    with pytest.raises(TimeoutError, match=r"gave up after 0\.05 s"):
        Silence(Limits(0.01, 60, 0.05), said.append).watch(unanswered)
    assert [line.split("; ")[1] for line in said] == ["giving up after 0.05 s."]


def test_progress_is_no_silence() -> None:
    """A request that makes progress prints no message."""
    said: list[str] = []
    enough, sent = threading.Event(), itertools.count()

    def progress() -> int:
        if (now := next(sent)) > 3:
            enough.set()
        return now

    assert Silence(SOON, said.append).watch(lambda: enough.wait(60), progress)
    assert said == []


@pytest.mark.parametrize(
    ("is_running", "told"),
    [
        (True, r"The sandbox \(process 7\) is running, but has not answered for 0\.05 s\. .*`kill -9 7`"),
        (False, r"The sandbox has stopped, and everything that ran in it\. Start it"),
    ],
)
def test_the_sandbox_is_looked_at(unanswered: Callable[[], bool], is_running: bool, told: str) -> None:
    """The error says whether the sandbox's process is running, and how to end or start it."""
    server = Server("The sandbox (process 7)", lambda: is_running, 7)
    with pytest.raises(SandboxError, match=told):
        Silence(Limits(0.01, 60, 0.05), lambda _: None, server).watch(unanswered)


def test_a_sandbox_that_has_stopped_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request to a sandbox that has stopped fails at once, also if another one has started since."""
    monkeypatch.setenv(connection.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(silence, "LIMITS", Limits(60, 60, 60))
    sandbox = Sandbox(Layout(tmp_path))
    served = serve(sandbox)
    lock = connection.acquire_home(tmp_path)
    assert lock is not None

    def log_in(pid: int) -> Callable[[], object]:
        connection.write(Connection(sandbox.url, sandbox.user.token, sandbox.user.name, pid, tmp_path))
        there = workspace.connect("sandbox")
        return lambda: clusters.visible(there)

    first, second = log_in(1), log_in(2)
    assert second()
    served.stop()
    with pytest.raises(SandboxError, match="has stopped"):
        first()
    lock.release()
    with pytest.raises(SandboxError, match="has stopped"):
        second()
