"""What a terminal shows while something takes its time."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLEAR_LINE = "\r\x1b[K"


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
