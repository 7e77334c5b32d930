"""A run's log on the screen: on a terminal as Kedro's own log looks, otherwise in plain lines."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.sizes import in_bytes, with_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro_databricks_hybrid.run.log import NodeRun, Outcome, Record


def printer(*, terminal: bool, err: bool = False) -> Callable[[Record], None]:
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
        rows = [("node", "seconds", "saved"), *(_row(node) for node in nodes)]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        click.echo(err=err)
        for node, seconds, saved in rows:
            click.echo(f"{node:<{first}}  {seconds:>{second}}  {saved}".rstrip(), err=err)
    completed = sum(1 for node in nodes if node.completed)
    click.echo(f"\n{with_count(completed, 'node')} completed in {outcome.seconds:.1f} s.", err=err)
    for label, name in (("Data", "data_root"), ("Page", "page")):
        if facts.get(name):
            click.echo(f"{label}: {facts[name]}", err=err)


def _row(node: NodeRun) -> tuple[str, str, str]:
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
