"""Follow a run on the screen: print its log, handle Ctrl-C, report the outcome."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import say, say_json, wants_json
from kedro_databricks_hybrid.cli.output import log_printer, print_summary
from kedro_databricks_hybrid.errors import HybridError, RunCancelledError, RunError, SandboxError
from kedro_databricks_hybrid.project import unsent_code
from kedro_databricks_hybrid.run.local_state import Bookmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.run.follow import Started
    from kedro_databricks_hybrid.run.log import Outcome, Record

_CANCEL_SECONDS = 5.0
_DETACH = "detach"


def record_printer(
    project: ProjectOnWorkspace, *, err: bool = False, splits: bool = True
) -> Callable[[Record], None]:
    """Return a function that prints a record of a run log, with local paths.

    Args:
        project: The project.
        err: Print to stderr, since stdout is for JSON.
        splits: Print to stderr what the run printed there, else to stdout.
    """
    show = log_printer(terminal=sys.stdout.isatty() and not err, err=err, splits=splits)
    return lambda record: show(project.local_paths.in_record(record))


@contextmanager
def starting() -> Iterator[None]:
    """Report Ctrl-C while the block starts a run.

    Raises:
        RunCancelledError: Ctrl-C was pressed.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise RunCancelledError(
            "Interrupted while the run was starting.", hint="`kedro databricks runs` shows whether it did."
        ) from None


def follow(
    started: Started,
    show: Callable[[Record], None],
    *,
    resume: str,
    seconds: float | None = None,
    from_start: bool = False,
) -> Outcome:
    """Follow a run to its end; Ctrl-C cancels it, or on a terminal asks whether to detach.

    Args:
        started: The run.
        show: Prints a record.
        resume: The command that follows the run again.
        seconds: Cancel the run after this time.
        from_start: Print the log from its beginning, even if this machine has printed parts of it before.

    Raises:
        RunError: The run did not end in time.
        SandboxError: The sandbox has stopped, and the run with it.
        HybridError: The run can no longer be followed, but may still be running.
    """
    try:
        started.resume(Bookmark(started.run_id), from_start=from_start)
        outcome = started.follow(show, float("inf") if seconds is None else seconds)
    except SandboxError:
        raise
    except HybridError as error:
        hint = f"The run may still be running. Follow it again with: {resume}"
        raise type(error)(error.message, hint=hint) from error
    except KeyboardInterrupt:
        if _detaches():
            say(f"The run is still running. Follow it again with: {resume}")
            say_unfinished(started, "running")
            raise click.exceptions.Exit(0) from None
        say("Cancelling the run ...")
        return _cancel(started, show, resume)
    if not outcome.ended:
        outcome = _cancel(started, show, resume)
        if outcome.outcome == "cancelled":
            late = RunError(
                f"The run did not end within {seconds:.0f} s and was cancelled.",
                hint=f"`{resume.replace('attach', 'logs', 1)}` shows how far it got; "
                "give it more time with --timeout.",
            )
            say_unfinished(started, "cancelled", late.message)
            raise late
    return outcome


def say_unfinished(started: Started, outcome: str, error: str | None = None) -> None:
    """With --json, print what is known of a run that this command does not follow to its end."""
    if wants_json():
        say_json({**started.info, "outcome": outcome, "error": error})


def report(
    outcome: Outcome,
    project: ProjectOnWorkspace,
    description: Mapping[str, str | None],
    *,
    as_json: bool = False,
) -> None:
    """Print the outcome of a run.

    Args:
        outcome: The outcome read from the run log.
        project: The project.
        description: The client's description of the run: the summary shows two items, JSON all.
        as_json: Print one JSON document, and the summary to stderr.

    Raises:
        RunCancelledError: The run was cancelled.
        RunError: The run failed.
    """
    print_summary(outcome, description, err=as_json)
    if as_json:
        nodes = [asdict(node) for node in outcome.nodes.values()]
        result = {"outcome": outcome.outcome, "seconds": outcome.seconds, "error": outcome.error}
        say_json({**description, **result, "nodes": nodes})
    if outcome.traceback:
        click.echo(project.local_paths.in_text(outcome.traceback).rstrip(), err=True)
    if outcome.outcome == "cancelled":
        raise RunCancelledError("The run was cancelled.")
    if outcome.outcome != "completed":
        unsent = unsent_code.next_step(project, outcome.error, description.get("commit"))
        raise RunError(f"The run failed: {outcome.error}", hint=unsent or outcome.hint)


def _cancel(started: Started, show: Callable[[Record], None], resume: str) -> Outcome:
    """Cancel a run and wait for its end, ignoring Ctrl-C for a few seconds so that the request is sent.

    Afterwards Ctrl-C stays ignored, so that the command can report the outcome and exit with its status.

    Raises:
        RunCancelledError: Ctrl-C was pressed while waiting for the end.
    """
    began = time.monotonic()

    def interrupt(*_: object) -> None:
        if time.monotonic() - began > _CANCEL_SECONDS:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        return started.cancel(show)
    except KeyboardInterrupt:
        raise RunCancelledError(
            "Interrupted while the run was being cancelled; it may still be running.",
            hint=f"Follow it again with: {resume}",
        ) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _detaches() -> bool:
    """Ask whether to detach from the run; without a terminal, and on a second Ctrl-C, the answer is no.

    Enter detaches, because that loses nothing.
    """
    if not sys.stdin.isatty():
        return False
    try:
        question = "\nCancel the run or detach from it? c cancels, d or Enter detaches"
        return bool(
            click.prompt(question, default=_DETACH, show_default=False, value_proc=_answer, err=True)
            == _DETACH
        )
    except click.Abort:
        return False


def _answer(typed: str) -> str:
    """Return the answer that a word or its first letters mean."""
    word = typed.strip().lower()
    for answer in (_DETACH, "cancel"):
        if answer.startswith(word):  # Enter and blanks, too
            return answer
    raise click.BadParameter("Type c or d.")
