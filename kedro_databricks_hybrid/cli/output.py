"""What the commands print: run logs, transfer progress, tables, sizes, lists of names.

On a terminal, run logs look like Kedro's logs and transfers show bars; elsewhere both are plain lines.
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.options import say
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.transfer.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import rich.progress

    from kedro_databricks_hybrid.run.log import NodeRun, Outcome, Record
    from kedro_databricks_hybrid.transfer.plan import Unit

_LINE_SECONDS = 5.0
_NAMES_SHOWN = 5
_NO_LIMIT = 1_000_000
_NARROWEST = 20


def log_printer(*, terminal: bool, err: bool = False, splits: bool = False) -> Callable[[Record], None]:
    """Return a function that prints one record of a run log.

    Args:
        terminal: Print in Kedro's columns and colours.
        err: Print to stderr instead of stdout.
        splits: Print to stderr what the run printed there, as a local run does.
    """
    show_log = _rich_printer() if terminal else partial(_print_plain, err=err)
    in_line = False  # whether the last output did not end its line

    def show(record: Record) -> None:
        nonlocal in_line
        if record["event"] == "output":
            click.echo(record["text"], nl=False, err=err or (splits and record.get("stream") == "stderr"))
            in_line = not record["text"].endswith("\n")
        elif record["event"] in {"log", "end"}:
            if in_line:
                click.echo(err=err)
            in_line = False
            if record["event"] == "log":
                show_log(record)

    return show


def print_summary(outcome: Outcome, description: Mapping[str, str | None], *, err: bool = False) -> None:
    """Print a run's nodes with their durations and saved datasets, its data root and its page.

    Args:
        outcome: The outcome read from the run log.
        description: The client's description of the run; its `data_root` and `page` are printed.
        err: Print to stderr instead of stdout.
    """
    nodes = list(outcome.nodes.values())
    if nodes:
        click.echo(err=err)
        print_table(("node", "seconds", "saved"), [_node_row(node) for node in nodes], right=(1,), err=err)
    completed = sum(1 for node in nodes if node.completed)
    click.echo(f"\n{with_count(completed, 'node')} completed in {outcome.seconds:.1f} s.", err=err)
    for label, name in (("Data", "data_root"), ("Page", "page")):
        if description.get(name):
            click.echo(f"{label}: {shown(str(description[name]))}", err=err)


def _node_row(node: NodeRun) -> tuple[str, str, str]:
    seconds = "-" if node.seconds is None else f"{node.seconds:.2f}"
    saved = ", ".join(_with_size(name, size) for name, size in node.saved.items())
    result = {True: saved, False: "failed", None: "did not end"}[node.completed]
    return node.name, seconds, result


def _with_size(name: str, size: int | None) -> str:
    return name if size is None else f"{name} ({in_bytes(size)})"


def _print_plain(record: Record, *, err: bool) -> None:
    when = time.strftime("%x %X", time.localtime(record["t"]))
    level = _level_name(record)
    source = f"{record['path'].rpartition('/')[2]}:{record['line']}"
    shown = {"show_time": True, "show_level": True, "show_path": True, **record.get("columns", {})}
    start = (f"[{when}] " if shown["show_time"] else "") + (f"{level:<8} " if shown["show_level"] else "")
    end = f"  {source}" if shown["show_path"] else ""
    click.echo(f"{start}{record['message']}{end}", err=err)
    if "traceback" in record:
        click.echo(record["traceback"].rstrip(), err=err)


def _level_name(record: Record) -> str:
    return str(record.get("level_name") or logging.getLevelName(record["level"]))


def _rich_printer() -> Callable[[Record], None]:
    from kedro.logging import RichHandler
    from rich.errors import MarkupError

    @cache
    def handler(**columns: Any) -> RichHandler:  # noqa: ANN401 - the options of rich's handler
        return RichHandler(rich_tracebacks=False, **columns)

    def show(record: Record) -> None:
        plain = {
            "name": record["name"],
            "levelno": record["level"],
            "levelname": _level_name(record),
            "msg": record["message"],
            "args": (),
            "created": record["t"],
            "pathname": record["path"],
            "filename": record["path"].rpartition("/")[2],
            "lineno": record["line"],
        }
        more: dict[str, Any] = {
            name: record[name] for name in ("rich_format", "markup", "highlighter") if name in record
        }
        if "template" in record:
            more |= {"msg": record["template"], "args": tuple(record.get("args", ()))}
        columns = dict(record.get("columns", {}))
        if "time_format" in columns:
            columns["log_time_format"] = columns.pop("time_format")
        try:
            handler(**columns).handle(logging.makeLogRecord({**plain, **more}))
        except (MarkupError, LookupError, TypeError, ValueError):  # it only looks like markup or a template
            handler().handle(logging.makeLogRecord({**plain, "markup": False}))
        if "traceback" in record:
            click.echo(record["traceback"].rstrip())

    return show


def transfer_progress(verb: str) -> Progress:
    """Return a display of a transfer's progress: bars on a terminal, else lines.

    Args:
        verb: Such as `Sending`.
    """
    return ProgressBars(verb) if sys.stdout.isatty() else ProgressLines(verb)


class ProgressLines(Progress):
    """Prints a line every few seconds, and none for a shorter transfer."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb
        self._last_line = time.monotonic()

    def begin(self, files: int, size: int) -> None:
        """Start counting the seconds to the first line."""
        super().begin(files, size)
        self._last_line = time.monotonic()

    def show(self) -> None:
        """Print a line if the last one is a few seconds old."""
        if time.monotonic() - self._last_line < _LINE_SECONDS:
            return
        self._last_line = time.monotonic()
        of_bytes = f"{in_bytes(self.bytes)} of {in_bytes(self.all_bytes)}"
        say(f"{self._verb}: {self.files} of {self.all_files} files, {of_bytes}")


class ProgressBars(Progress):
    """Shows a bar with files, bytes, transfer rate and remaining time."""

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
            console=Console(),  # rich's global console may be in use, and cannot show two bars
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(self._verb, total=size or 1, files=f"0/{files} files")

    def show(self) -> None:
        """Update the bar; rich draws it ten times a second at most."""
        if self._bars is not None and self._task is not None:
            files = f"{self.files}/{self.all_files} files"
            self._bars.update(self._task, completed=self.bytes, files=files)

    def end(self) -> None:
        """Remove the bar."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def in_bytes(size: int) -> str:
    """Return a size with a decimal unit, such as `3.9 kB`."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"


def with_count(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def describe_unit(unit: Unit, *details: str) -> str:
    """Return the path of a file, or of a folder that Spark wrote with its number of files, and details."""
    files = [with_count(len(unit.pairs), "file")] if unit.is_folder else []
    listed = ", ".join([*files, *details])
    return f"{shown(unit.path)}{'/' if unit.is_folder else ''}{f' ({listed})' if listed else ''}"


def first_names(names: Collection[object]) -> str:
    """Return the first few names, such as `a.csv, b.csv and 3 more`, with escapes for control characters."""
    listed = ", ".join(shown(str(name)) for name in list(names)[:_NAMES_SHOWN])
    return f"{listed} and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else listed


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = (), err: bool = False
) -> None:
    """Print a heading and the rows, each column as wide as its longest cell, control characters as escapes.

    On a terminal that is too narrow, a row becomes lines: its first cell, then the others with headings.

    Args:
        columns: The headings.
        rows: One cell a column.
        right: The numbers of the columns that are aligned right, from 0.
        err: Print to stderr instead of stdout.
    """
    table = [[shown(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
    if sum(widths) + 2 * (len(widths) - 1) > terminal_width(err=err):
        _print_stacked(table, err=err)
        return
    for row in table:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip(), err=err)


def _print_stacked(table: Sequence[Sequence[str]], *, err: bool) -> None:
    """Print each row as lines; a column without a heading continues the one before it."""
    (_, *headings), *rows = table
    for first, *others in rows:
        click.echo(first, err=err)
        lines: list[tuple[str, str]] = []
        for heading, cell in zip(headings, others, strict=True):
            if heading:
                lines.append((heading, cell))
            else:
                lines[-1] = (lines[-1][0], f"{lines[-1][1]}  {cell}".rstrip())
        for heading, cell in lines:
            click.echo(f"  {heading}: {cell}", err=err)


def say_aligned(label: str, line: str, *, column: int) -> None:
    """Print a label and a line beside it; on a terminal the line is wrapped and stays in its column.

    Args:
        label: The label.
        line: The line; a word that is wider than the column is not broken.
        column: The number of characters before the line.
    """
    width = terminal_width()
    if width < _NO_LIMIT:
        shorter = max(width - column, _NARROWEST)
        lines = textwrap.wrap(line, shorter, break_long_words=False, break_on_hyphens=False)
    else:
        lines = [line]
    for number, part in enumerate(lines or [""]):
        say(f"{'' if number else label:<{column}}{part}".rstrip())


def terminal_width(*, err: bool = False) -> int:
    """Return the width of the terminal that stdout or stderr is, in characters; elsewhere no limit."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else _NO_LIMIT
