"""The rows of every benchmark's table, in one form."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

COLUMNS = ("what", "peer", "peer's", "ours", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """One thing measured.

    Args:
        what: What was done.
        peer: Whom it is compared with; empty where only we are measured.
        theirs: What the peer takes, with its unit.
        ours: What we take.
        ratio: The one by the other.
        target: What is wanted, of the ratio if there is one; empty where nothing is.
        met: Whether it is so; None without a target.
    """

    what: str
    peer: str
    theirs: str
    ours: str
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    def held_to(self, target: str, *, met: bool) -> Row:
        """Return the same row with a target."""
        return replace(self, target=target, met=met)

    def __str__(self) -> str:
        *words, met = astuple(self)
        return f"| {' | '.join((*words, {None: '', True: 'yes', False: 'NO'}[met]))} |"


def beside(what: str, peer: str, theirs: float, ours: float) -> Row:
    """Return the row of two times in seconds."""
    return Row(what, peer, f"{theirs:.2f} s", f"{ours:.2f} s", f"{theirs / ours:.2f} times as fast")


def tell_columns() -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)


def tell(*rows: Row) -> bool:
    """Print rows, and return whether none of them missed its target."""
    for row in rows:
        print(row, flush=True)
    return all(row.met is not False for row in rows)
