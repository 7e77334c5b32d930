"""How a transfer shows on the screen: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.cli.command import say
from kedro_databricks_hybrid.cli.sizes import in_bytes
from kedro_databricks_hybrid.transfer.progress import Progress

if TYPE_CHECKING:
    import rich.progress

_LINE_SECONDS = 5.0


def shown(verb: str) -> Progress:
    """Return what shows a transfer.

    Args:
        verb: What goes on, such as `Sending`.
    """
    return Bars(verb) if sys.stdout.isatty() else Lines(verb)


class Lines(Progress):
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


class Bars(Progress):
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
