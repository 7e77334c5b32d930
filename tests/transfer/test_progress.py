"""The progress of a transfer: a bar on a terminal, otherwise lines."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli import output
from kedro_databricks_hybrid.transfer.push import Push, Selection
from tests.transfer.conftest import DBFS, Site

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHOWN = re.compile(r"Sending .*4/4 files.* [\d.]+/3\.2 MB .*[\d?].*[-\d]:[-\d]{2}:[-\d]{2}")


def test_a_terminal_shows_files_bytes_rate_and_time_left(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar that moves and disappears at the end."""
    terminal, end = pty.openpty()
    seen: list[bytes] = []

    def watch() -> None:
        try:
            while piece := os.read(terminal, 65536):
                seen.append(piece)
        except OSError:  # the other end is closed
            return

    watching = threading.Thread(target=watch)
    watching.start()
    with os.fdopen(end, "w") as screen:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "140")
        monkeypatch.setattr(sys, "stdout", screen)
        push = Push(site.tree(), data, DBFS, output.transfer_progress("Sending"))
        push.perform(push.prepare(Selection()))
        monkeypatch.undo()
    watching.join()
    os.close(terminal)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", b"".join(seen).decode()))
    assert any(SHOWN.search(line) for line in lines), lines


def test_without_a_terminal_lines_are_printed(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain text with the same counts, without control sequences."""
    monkeypatch.setattr(output, "_LINE_SECONDS", 0.0)
    push = Push(site.tree(), data, DBFS, output.transfer_progress("Sending"))
    push.perform(push.prepare(Selection()))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Sending: 4 of 4 files, 3.2 MB of 3.2 MB"
    assert "\x1b" not in "".join(lines)
