"""A push killed at any request: one more push makes both sides equal, and other files stay unchanged.

Set TRANSFER_SEEDS to kill more often than in the everyday run.
"""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.transfer.conftest import DBFS, VOLUME, Pushes, Site, fill, tree_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.transfer.bad_line import Request

pytestmark = pytest.mark.processes

SEEDS = int(os.environ.get("TRANSFER_SEEDS", "40")) // 4
NAMES = [f"01_raw/{number}.csv" for number in range(6)] + ["03_primary/large.bin"]
FOREIGN = {"99_foreign/keep.txt": b"not ours", "01_raw/of others.csv": b"theirs"}


class Changes:
    """A data folder that changes, and every content that its files ever had.

    Args:
        data: The folder.
        chance: Decides what changes.
    """

    def __init__(self, data: Path, chance: random.Random) -> None:
        self.data = data
        self.chance = chance
        self.known: dict[str, set[bytes]] = {name: set() for name in NAMES}

    def change(self, names: list[str]) -> None:
        """Write new contents."""
        for name in names:
            size = self.chance.randint(1, 3000) + (1_200_000 if "large" in name else 0)
            content = self.chance.randbytes(size)
            self.known[name].add(content)
            fill(self.data, {name: content})


@pytest.mark.parametrize("root", [DBFS, VOLUME])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_push_killed_at_any_request_the_next_one_makes_both_sides_equal(
    site: Site, tmp_path: Path, root: str, number: signal.Signals, pushes: Pushes
) -> None:
    """Every remote file is always complete, old or new, and one more push makes both sides equal.

    The push is killed when a request arrives, or when the server has handled it but has not answered. Local
    files change between the killed push and the next, which must not count as another clone's change.
    """
    chance = random.Random(f"{root} {number}")  # noqa: S311 - which moments, not which secrets
    local = Changes(tmp_path / "data", chance)
    local.change(NAMES)
    pushes.begin(local.data, root)
    assert pushes.end() == 0
    fill(site.folder(root), FOREIGN)
    requests = len(site.line.requests)
    statuses = []
    for _ in range(SEEDS):
        local.change([*chance.sample(NAMES[:-1], 3), NAMES[-1]])
        moment = chance.randint(1, requests)

        def kill(request: Request, moment: int = moment) -> None:
            if request.number == moment:
                pushes.kill(number)

        site.line.forget()
        if chance.random() < 0.5:
            site.line.fault = kill
        else:
            site.line.after = kill
        pushes.begin(local.data, root)
        statuses.append(pushes.end())
        there = site.files(root)
        assert {name: there.pop(name) for name in FOREIGN} == FOREIGN
        assert all(content in local.known[name] for name, content in there.items()), "a partial file"
        if statuses[-1] == 0:
            assert there == tree_of(local.data)
        local.change(chance.sample(NAMES, 1))
        site.line.forget()
        pushes.begin(local.data, root)
        assert pushes.end() == 0
        requests = max(requests // 2, len(site.line.requests))
        assert site.files(root) == {**tree_of(local.data), **FOREIGN}
        assert not list((site.folder(root) / ".kedro-hybrid").glob("incoming/*"))
    assert statuses.count(0) < len(statuses) / 2, "too few pushes were cut short"
    assert set(statuses) <= {0, 130 if number == signal.SIGINT else -number}
