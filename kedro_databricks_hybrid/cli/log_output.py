"""A run's log on the screen: on a terminal as Kedro's own log looks, otherwise in plain lines."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid.cli.sizes import with_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.run.log import NodeRun, Outcome, Record


def printer(*, terminal: bool, err: bool = False) -> Callable[[Record], None]:
    """Return what prints one record of a run log.

    Args:
        terminal: Whether a person watches: then in Kedro's columns and colours.
        err: Print to stderr instead of stdout.
    """
    show_log = _rich_printer() if terminal else partial(_print_plain, err=err)

    def show(record: Record) -> None:
        if record["event"] == "log":
            show_log(record)
        elif record["event"] == "output":
            click.echo(record["text"], nl=False, err=err)

    return show


def print_summary(outcome: Outcome, *, err: bool = False) -> None:
    """Print the nodes of a run with their durations and what they saved; `err` chooses stderr."""
    nodes = list(outcome.nodes.values())
    if nodes:
        rows = [("node", "seconds", "saved"), *(_row(node) for node in nodes)]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        click.echo(err=err)
        for node, seconds, saved in rows:
            click.echo(f"{node:<{first}}  {seconds:>{second}}  {saved}".rstrip(), err=err)
    completed = sum(1 for node in nodes if node.completed)
    click.echo(f"\n{with_count(completed, 'node')} completed in {outcome.seconds:.1f} s.", err=err)


def _row(node: NodeRun) -> tuple[str, str, str]:
    seconds = "-" if node.seconds is None else f"{node.seconds:.2f}"
    ending = {True: ", ".join(node.saved), False: "failed", None: "did not end"}[node.completed]
    return node.name, seconds, ending


def _print_plain(record: Record, *, err: bool) -> None:
    when = time.strftime("%x %X", time.localtime(record["t"]))
    level = logging.getLevelName(record["level"])
    source = f"{record['path'].rpartition('/')[2]}:{record['line']}"
    click.echo(f"[{when}] {level:<8} {record['message']}  {source}", err=err)
    if "traceback" in record:
        click.echo(record["traceback"].rstrip(), err=err)


def _rich_printer() -> Callable[[Record], None]:
    from kedro.logging import RichHandler

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
            "markup": "rich_format" in record,
        }
        if "rich_format" in record:
            facts["rich_format"] = record["rich_format"]
        handler.handle(logging.makeLogRecord(facts))
        if "traceback" in record:
            click.echo(record["traceback"].rstrip())

    return show
