"""The expected state of one user's project, locally and on Databricks, after all steps so far.

Each set holds the values that are allowed: usually one, several after a failure that came before or after a
change. The oracle reduces each set to the value that it found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NO_END = "no end"
"""The outcome of a run that is still running, or whose process was lost."""


def scaled(raw: str, factor: int) -> str:
    """Return the table that the pipeline computes from a raw one."""
    head, *numbers = raw.splitlines()
    return "\n".join([head, *(str(int(number) * factor) for number in numbers), ""])


@dataclass
class Pending:
    """A run that waits for a file, its gate; its id is known once the oracle has seen it."""

    gate: Path
    result: str
    run_id: str | None = None


@dataclass
class Started:
    """How many runs a step may have started, and their allowed outcomes."""

    counts: set[int] = field(default_factory=lambda: {0})
    outcomes: set[str] = field(default_factory=set)

    def expect(self, outcome: str) -> None:
        """Allow exactly one, with this outcome."""
        self.counts, self.outcomes = {1}, {outcome}

    def allow(self, *outcomes: str) -> None:
        """Allow none, or one with one of these outcomes."""
        self.counts, self.outcomes = {0, 1}, set(outcomes)


@dataclass
class History:
    """One user's project.

    Attributes:
        head: The local commit.
        factors: What the code of each commit multiplies by.
        raw: The local raw table.
        scaled: The local result, None if none was pulled.
        code_there: The Git folder's commit.
        raw_there: The data root's raw table.
        scaled_there: The data root's result.
        runs: How each run ended.
        started: The runs of this step.
        pending: The run that is still running.
    """

    head: str
    factors: dict[str, int]
    raw: str
    scaled: set[str | None] = field(default_factory=lambda: {None})
    code_there: set[str] = field(default_factory=set)
    raw_there: set[str | None] = field(default_factory=lambda: {None})
    scaled_there: set[str | None] = field(default_factory=lambda: {None})
    runs: dict[str, str] = field(default_factory=dict)
    started: Started = field(default_factory=Started)
    pending: Pending | None = None

    def result(self) -> str:
        """Return the result of a run now; only after a check, when the remote code and data are known."""
        (code,), (raw,) = self.code_there, self.raw_there
        assert raw is not None
        return scaled(raw, self.factors[code])

    def code_arrives(self, *, surely: bool) -> None:
        """Record that the local commit is, or may be, in the Git folder."""
        if surely:
            self.code_there = set()
        self.code_there |= {self.head}

    def data_arrives(self, *, surely: bool) -> None:
        """Record that the local raw table is, or may be, in the data root."""
        if surely:
            self.raw_there = set()
        self.raw_there |= {self.raw}

    def result_arrives(self, result: str, *, surely: bool) -> None:
        """Record that a run has written its result, or may have."""
        if surely:
            self.scaled_there = set()
        self.scaled_there |= {result}

    def result_is_pulled(self, *, surely: bool) -> None:
        """Record that the remote result was, or may have been, pulled."""
        if surely:
            self.scaled = set()
        self.scaled |= self.scaled_there

    def pending_ends(self, outcome: str) -> None:
        """Record that the pending run has ended."""
        assert self.pending is not None
        if self.pending.run_id is None:  # the step that started it ended it, too
            self.started.expect(outcome)
        else:
            self.runs[self.pending.run_id] = outcome
        if outcome == "completed":
            self.result_arrives(self.pending.result, surely=True)
        self.pending = None
