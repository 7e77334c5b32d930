"""What commands print: run logs, the progress of transfers, sizes, tables.

On a terminal a run's log looks like Kedro's own and transfers show bars; elsewhere both are plain lines.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.options import say
from kedro_databricks_hybrid.transfer.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import rich.progress

    from kedro_databricks_hybrid.run.log import NodeRun, Outcome, Record

_LINE_SECONDS = 5.0
_CLEAR_LINE = "\r\x1b[K"


def log_printer(*, terminal: bool, err: bool = False) -> Callable[[Record], None]:
    """Return what prints one record of a run log.

    Args:
        terminal: Whether a person watches: then in Kedro's columns and colours.
        err: Print to stderr instead of stdout.
    """
    show_log = _rich_printer() if terminal else partial(_print_plain, err=err)
    begun = False  # a line that the code has printed without its end

    def show(record: Record) -> None:
        nonlocal begun
        if record["event"] == "output":
            click.echo(record["text"], nl=False, err=err)
            begun = not record["text"].endswith("\n")
        elif record["event"] in {"log", "end"}:
            if begun:
                click.echo(err=err)
            begun = False
            if record["event"] == "log":
                show_log(record)

    return show


def print_summary(outcome: Outcome, facts: Mapping[str, str | None], *, err: bool = False) -> None:
    """Print the nodes of a run with their durations and what they saved, and where all that is.

    Args:
        outcome: What the log says.
        facts: What else identifies the run; of these `data_root` and `page` are shown.
        err: Print to stderr instead of stdout.
    """
    nodes = list(outcome.nodes.values())
    if nodes:
        rows = [("node", "seconds", "saved"), *(_node_row(node) for node in nodes)]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        click.echo(err=err)
        for node, seconds, saved in rows:
            click.echo(f"{node:<{first}}  {seconds:>{second}}  {saved}".rstrip(), err=err)
    completed = sum(1 for node in nodes if node.completed)
    click.echo(f"\n{with_count(completed, 'node')} completed in {outcome.seconds:.1f} s.", err=err)
    for label, name in (("Data", "data_root"), ("Page", "page")):
        if facts.get(name):
            click.echo(f"{label}: {facts[name]}", err=err)


def _node_row(node: NodeRun) -> tuple[str, str, str]:
    seconds = "-" if node.seconds is None else f"{node.seconds:.2f}"
    saved = ", ".join(_sized(name, size) for name, size in node.saved.items())
    ending = {True: saved, False: "failed", None: "did not end"}[node.completed]
    return node.name, seconds, ending


def _sized(name: str, size: int | None) -> str:
    return name if size is None else f"{name} ({in_bytes(size)})"


def _print_plain(record: Record, *, err: bool) -> None:
    when = time.strftime("%x %X", time.localtime(record["t"]))
    level = logging.getLevelName(record["level"])
    source = f"{record['path'].rpartition('/')[2]}:{record['line']}"
    click.echo(f"[{when}] {level:<8} {record['message']}  {source}", err=err)
    if "traceback" in record:
        click.echo(record["traceback"].rstrip(), err=err)


def _rich_printer() -> Callable[[Record], None]:
    from kedro.logging import RichHandler
    from rich.errors import MarkupError

    handler = RichHandler(rich_tracebacks=False)

    def show(record: Record) -> None:
        facts = {
            "name": record["name"],
            "levelno": record["level"],
            "levelname": logging.getLevelName(record["level"]),
            "msg": record.get("template", record["message"]),
            "args": tuple(record.get("args", ())),
            "created": record["t"],
            "pathname": record["path"],
            "filename": record["path"].rpartition("/")[2],
            "lineno": record["line"],
        }
        if "rich_format" in record:
            facts["rich_format"] = record["rich_format"]
        try:
            handler.handle(logging.makeLogRecord(facts))
        except MarkupError:  # square brackets that only look like markup
            handler.handle(logging.makeLogRecord({**facts, "markup": False}))
        if "traceback" in record:
            click.echo(record["traceback"].rstrip())

    return show


def transfer_progress(verb: str) -> Progress:
    """Return what shows a transfer.

    Args:
        verb: What goes on, such as `Sending`.
    """
    return ProgressBars(verb) if sys.stdout.isatty() else ProgressLines(verb)


class ProgressLines(Progress):
    """One line every few seconds, none for what is done sooner."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb
        self._said = time.monotonic()

    def begin(self, files: int, size: int) -> None:
        """Wait for the first line from now on."""
        super().begin(files, size)
        self._said = time.monotonic()

    def show(self) -> None:
        """Print a line if it is time for one."""
        if time.monotonic() - self._said < _LINE_SECONDS:
            return
        self._said = time.monotonic()
        of_bytes = f"{in_bytes(self.bytes)} of {in_bytes(self.all_bytes)}"
        say(f"{self._verb}: {self.files} of {self.all_files} files, {of_bytes}")


class ProgressBars(Progress):
    """A bar with files, bytes, rate and the time that is left."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb
        self._bars: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def begin(self, files: int, size: int) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        super().begin(files, size)
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(),  # rich's own may show something else, and hides a second bar under the first
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(self._verb, total=size or 1, files=f"0/{files} files")

    def show(self) -> None:
        """Move the bar; rich draws it ten times a second at most."""
        if self._bars is not None and self._task is not None:
            files = f"{self.files}/{self.all_files} files"
            self._bars.update(self._task, completed=self.bytes, files=files)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal what goes on, and take it away when it is done.

    Args:
        what: Such as `Pushing main to https://github.com/team/shop.git`.
    """
    if not sys.stderr.isatty():
        yield
        return
    click.echo(f"{what} ... ", nl=False, err=True)
    try:
        yield
    finally:
        click.echo(_CLEAR_LINE, nl=False, err=True)


def in_bytes(size: int) -> str:
    """Return a size with a decimal unit, such as `3.9 kB`."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"


def with_count(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the heading, then one line a row, each column as wide as its longest cell."""
    table = [columns, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
