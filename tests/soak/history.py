"""The model: what one user's project must be, here and on Databricks, after all that was done to it.

What may be is a set: one value as a rule, several after an accident, which came before or after the change.
The oracle narrows each set to what it found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NO_END = "no end"
"""The outcome of a run that goes on, or whose process was lost."""


def scaled(raw: str, factor: int) -> str:
    """Return the table that the pipeline makes of a raw one."""
    head, *numbers = raw.splitlines()
    return "\n".join([head, *(str(int(number) * factor) for number in numbers), ""])


@dataclass
class Pending:
    """A run that waits for a file, its gate, to appear; its id is known once the oracle has seen it."""

    gate: Path
    result: str
    run_id: str | None = None


@dataclass
class Started:
    """How many runs a step has started, and how they may have ended."""

    counts: set[int] = field(default_factory=lambda: {0})
    outcomes: set[str] = field(default_factory=set)

    def expect(self, outcome: str) -> None:
        """Exactly one, with this outcome."""
        self.counts, self.outcomes = {1}, {outcome}

    def allow(self, *outcomes: str) -> None:
        """One with one of these outcomes, or none."""
        self.counts, self.outcomes = {0, 1}, set(outcomes)


@dataclass
class History:
    """One user's project.

    Attributes:
        head: The local commit.
        factors: What the code of each commit multiplies by.
        raw: The local raw table.
        scaled: The local result, None where none was brought.
        code_there: The Git folder's commit.
        raw_there: The data root's raw table.
        scaled_there: The data root's result.
        runs: How each run ended.
        started: The runs of this step.
        pending: The run that goes on.
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
        """Return what a run writes now; after a check, when it is known what is there."""
        (code,), (raw,) = self.code_there, self.raw_there
        assert raw is not None
        return scaled(raw, self.factors[code])

    def code_arrives(self, *, surely: bool) -> None:
        """The local commit is in the Git folder; or may be."""
        if surely:
            self.code_there = set()
        self.code_there |= {self.head}

    def data_arrives(self, *, surely: bool) -> None:
        """The local raw table is in the data root; or may be."""
        if surely:
            self.raw_there = set()
        self.raw_there |= {self.raw}

    def result_arrives(self, result: str, *, surely: bool) -> None:
        """A run has written its result; or may have."""
        if surely:
            self.scaled_there = set()
        self.scaled_there |= {result}

    def result_comes_here(self, *, surely: bool) -> None:
        """The result that is there was brought here; or may have been."""
        if surely:
            self.scaled = set()
        self.scaled |= self.scaled_there

    def pending_ends(self, outcome: str) -> None:
        """The run that went on has ended."""
        assert self.pending is not None
        if self.pending.run_id is None:  # the step that started it ended it, too
            self.started.expect(outcome)
        else:
            self.runs[self.pending.run_id] = outcome
        if outcome == "completed":
            self.result_arrives(self.pending.result, surely=True)
        self.pending = None
