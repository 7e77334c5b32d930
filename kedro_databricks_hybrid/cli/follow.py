"""A run on the screen: its log until the end, Ctrl-C on the way, and what it came to."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import say, say_json, warn
from kedro_databricks_hybrid.cli.output import log_printer, print_summary
from kedro_databricks_hybrid.errors import HybridError, RunCancelledError, RunError
from kedro_databricks_hybrid.run.local_state import Bookmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kedro_databricks_hybrid.run.follow import Started
    from kedro_databricks_hybrid.run.log import LocalPaths, Outcome, Record

_PATIENT_SECONDS = 5.0


def shower(paths: LocalPaths, *, err: bool = False) -> Callable[[Record], None]:
    """Return what prints the records of a run, with local paths.

    Args:
        paths: Where the project lies, here and there.
        err: Print to stderr, since stdout is for something else.
    """
    show = log_printer(terminal=sys.stdout.isatty() and not err, err=err)
    return lambda record: show(paths.in_record(record))


@contextmanager
def starting() -> Iterator[None]:
    """Say what Ctrl-C comes to while a run is being started.

    Raises:
        RunCancelledError: It was pressed.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise RunCancelledError(
            "Interrupted before the run was seen to start.", hint="`kedro databricks runs` tells if it did."
        ) from None


def follow(
    started: Started,
    show: Callable[[Record], None],
    *,
    resume: str,
    seconds: float | None = None,
    from_start: bool = False,
) -> Outcome:
    """Follow a run to its end; Ctrl-C cancels it, or leaves it running if a person says so.

    Args:
        started: The run.
        show: Prints a record.
        resume: The command that follows the run again.
        seconds: After so many seconds the run is cancelled.
        from_start: Show what this machine has shown of it before once more.

    Raises:
        RunError: It did not end in time.
        HybridError: It cannot be followed any longer, though it goes on.
    """
    try:
        started.resume(Bookmark(started.run_id), from_start=from_start)
        outcome = started.follow(show, float("inf") if seconds is None else seconds, warn)
    except HybridError as error:
        raise type(error)(error.message, hint=f"The run goes on. Follow it again with: {resume}") from error
    except KeyboardInterrupt:
        if _leaves_it_running():
            say(f"The run goes on. Follow it again with: {resume}")
            raise click.exceptions.Exit(0) from None
        say("Cancelling the run ...")
        return _cancel(started, show, resume)
    if not outcome.ended:
        outcome = _cancel(started, show, resume)
        if outcome.outcome == "cancelled":
            raise RunError(f"The run did not end within {seconds:.0f} s and was cancelled.")
    return outcome


def report(
    outcome: Outcome, paths: LocalPaths, facts: Mapping[str, str | None], *, as_json: bool = False
) -> None:
    """Print what a run came to.

    Args:
        outcome: What its log says.
        paths: Where the project lies, here and there.
        facts: What identifies the run; the summary shows `data_root` and `page`, JSON all.
        as_json: Print one JSON document, and the summary to stderr.

    Raises:
        RunCancelledError: It was cancelled.
        RunError: It failed.
    """
    print_summary(outcome, facts, err=as_json)
    if as_json:
        nodes = [asdict(node) for node in outcome.nodes.values()]
        came_to = {"outcome": outcome.outcome, "seconds": outcome.seconds, "error": outcome.error}
        say_json({**facts, **came_to, "nodes": nodes})
    if outcome.traceback:
        click.echo(paths.in_text(outcome.traceback).rstrip(), err=True)
    if outcome.outcome == "cancelled":
        raise RunCancelledError("The run was cancelled.")
    if outcome.outcome != "completed":
        raise RunError(f"The run failed: {outcome.error}", hint=outcome.hint)


def _cancel(started: Started, show: Callable[[Record], None], resume: str) -> Outcome:
    """Cancel a run and see it end; Ctrl-C pressed again at once must not leave it running.

    From then on Ctrl-C is ignored: the command only says what the run came to, and its status tells that.

    Raises:
        RunCancelledError: Somebody did not want to wait for the end any longer.
    """
    began = time.monotonic()

    def interrupt(*_: object) -> None:
        if time.monotonic() - began > _PATIENT_SECONDS:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        return started.cancel(show)
    except KeyboardInterrupt:
        raise RunCancelledError(
            "The run was not seen to end; it may go on.", hint=f"Look with: {resume}"
        ) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leaves_it_running() -> bool:
    """Ask a person; without a terminal, and at a second Ctrl-C, the answer is no."""
    if not sys.stdin.isatty():
        return False
    try:
        return click.prompt(
            "\nCancel the run or detach from it?", type=click.Choice(["cancel", "detach"]), default="cancel"
        ) == "detach"  # fmt: skip
    except click.Abort:
        return False
