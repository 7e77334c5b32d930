"""Report it when the workspace does not answer, and give up after a time that was named.

A request runs in a thread of its own, so the one that waits for it can report and give up whatever the
request does: connecting, waiting for the next byte, or pausing between the SDK's retries.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kedro_databricks_hybrid.errors import SandboxError
from kedro_databricks_hybrid.parallel import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """How long a silence may last, in seconds.

    Args:
        first: Until it is reported.
        again: Until it is reported again, each time.
        most: Until the command gives up.
    """

    first: float = 5.0
    again: float = 30.0
    most: float = 300.0


LOG = logging.getLogger(__name__)

LIMITS = Limits()
"""The limits for most commands."""

LOGIN = Limits(most=60.0)
"""The limits for the first request, which tests the login."""

FOLLOWING = 1800.0
"""The most seconds of silence while a run is followed: it does not need this machine."""


@dataclass(frozen=True)
class Server:
    """What is expected to answer.

    Args:
        name: Its name for messages.
        is_running: Whether its process lives, if that can be known.
        pid: The sandbox's process; None for Databricks.
    """

    name: str = "Databricks"
    is_running: Callable[[], bool] = lambda: True
    pid: int | None = None

    def require_running(self) -> None:
        """Check that the sandbox's process lives.

        Raises:
            SandboxError: It has ended.
        """
        if not self.is_running():
            raise SandboxError(
                "The sandbox has stopped, and everything that ran in it.",
                hint="Start it: `kedro databricks sandbox start`.",
            )

    def gave_up(self, span: str, problem: str) -> Exception:
        """Return the error after a silence."""
        if self.pid is None:
            return TimeoutError(f"gave up after {span}{f': {problem}' if problem else ''}")
        return SandboxError(
            f"{self.name} is running, but has not answered for {span}.",
            hint=f"End it with `kill -9 {self.pid}`, then `kedro databricks sandbox start`.",
        )


class Silence:
    """The time since a server last answered, while requests wait for it.

    Args:
        limits: When to report it, and when to give up; None for LIMITS.
        report: Called with one line when the silence lasts, and when it is over; from any thread.
        server: What is expected to answer; None for Databricks.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        report: Callable[[str], None] = LOG.warning,
        server: Server | None = None,
    ) -> None:
        self._limits = limits or LIMITS
        self._report = report
        self.server = server or Server()
        self._most = self._limits.most
        self._lock = threading.RLock()
        self._waiting = 0
        self._restart(0.0)

    def watch(self, request: Callable[[], Result], progress: Callable[[], object] = lambda: None) -> Result:
        """Return what a request returns, which means that the server has answered.

        Args:
            request: Sends it and waits for the answer.
            progress: Returns a value that changes while the request makes progress, such as bytes sent.

        Raises:
            TimeoutError: Databricks was silent for too long.
            SandboxError: The sandbox was, or its process has ended.
        """
        with self._counted():
            result = self.wait(request, progress)
            self.heard()
            return result

    def wait(self, request: Callable[[], Result], progress: Callable[[], object] = lambda: None) -> Result:
        """Do the same as `watch` for a request that may return although the server has not answered."""
        with self._counted():
            answer, reached = start(request), progress()
            while not wait([answer], self._pause()).done:
                if (now := progress()) != reached:
                    reached = now
                    self.heard()
                self.check()
            return answer.result()

    def heard(self) -> None:
        """Note that the server has answered."""
        with self._lock:
            now = time.monotonic()
            if self._due > self._limits.first and self._waiting:
                self._report(f"{self.server.name} answers again, after {now - self._since:.0f} s.")
            self._restart(now)

    def failed(self, problem: str, lacking: str = "answered") -> None:
        """Note why the server did not answer a request, or what it answered instead.

        Args:
            problem: The reason, for messages.
            lacking: What the server has not done.

        Raises:
            SandboxError: The sandbox's process has ended.
        """
        self._problem, self._lacking = problem, lacking
        self.server.require_running()

    def check(self) -> None:
        """Report a silence that has lasted for long.

        Raises:
            TimeoutError: It has lasted for too long.
            SandboxError: The same for the sandbox, or its process has ended.
        """
        with self._lock:
            lasted = time.monotonic() - self._since
            if lasted >= self._due:
                self.server.require_running()
                self._due += self._limits.again
                why = f" ({self._problem})" if self._problem else ""
                self._report(
                    f"{self.server.name} has not {self._lacking} for {lasted:.0f} s{why}; "
                    f"giving up after {_span(self._most)}."
                )
            if lasted >= self._most:
                raise self.server.gave_up(_span(self._most), self._problem)

    @contextmanager
    def outlasting(self, most: float | None = None) -> Iterator[None]:
        """Let a silence last while the block repeats a request, whose failures are no answers.

        Args:
            most: The seconds of silence after which to give up; None for no other limit than otherwise.
        """
        before, self._most = self._most, most or self._most
        try:
            with self._counted():
                yield
        finally:
            self._most = before

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a request that waits; the silence begins with the first."""
        with self._lock:
            if not self._waiting:
                self._restart(time.monotonic())
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _restart(self, now: float) -> None:
        self._since = now
        self._due = self._limits.first
        self._problem, self._lacking = "", "answered"

    def _pause(self) -> float:
        """Return the seconds until something is to be done about the silence."""
        with self._lock:
            return max(0.0, min(self._due, self._most) - (time.monotonic() - self._since))


def _span(seconds: float) -> str:
    """Return a time in words, such as `5 minutes`."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} s"
