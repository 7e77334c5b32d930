"""The rows of the benchmarks' tables."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

COLUMNS = ("what", "peer", "peer's", "ours", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        what: What was measured.
        peer: The other program; empty without a comparison.
        theirs: The peer's value, with its unit.
        ours: This package's value, with its unit.
        ratio: The peer's value divided by this package's, or their difference.
        target: The target, for the ratio if there is one; empty without a target.
        met: Whether the target was met; None without a target.
    """

    what: str
    peer: str
    theirs: str
    ours: str
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    def held_to(self, target: str, *, met: bool) -> Row:
        """Return the row with a target."""
        return replace(self, target=target, met=met)

    def __str__(self) -> str:
        *words, met = astuple(self)
        return f"| {' | '.join((*words, {None: '', True: 'yes', False: 'NO'}[met]))} |"


def comparison(what: str, peer: str, theirs: float, ours: float) -> Row:
    """Return a row that compares two times in seconds."""
    return Row(what, peer, f"{theirs:.2f} s", f"{ours:.2f} s", f"{theirs / ours:.2f} times as fast")


def print_header() -> None:
    """Print the header of a table."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)


def print_rows(*rows: Row) -> bool:
    """Print rows, and return whether all targets were met."""
    for row in rows:
        print(row, flush=True)
    return all(row.met is not False for row in rows)
