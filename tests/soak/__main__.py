"""Random users against the sandbox: `make soak MINUTES=30`; a seed repeats its steps."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import HybridError
from tests.soak import accidents, oracle, processes, steps
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tests.soak.world import User

_STEP_SECONDS = 300


@dataclass(frozen=True)
class Choice:
    """A step, how often it is taken, and whether it needs a run that goes on; None: it does not matter."""

    step: Callable[[World, User, random.Random], object]
    weight: int
    pending: bool | None = None


CHOICES = (
    Choice(steps.edit_code, 6),
    Choice(steps.edit_data, 6),
    Choice(steps.push, 6),
    Choice(steps.pull, 3),
    Choice(steps.push_data, 3),
    Choice(steps.pull_data, 4),
    Choice(steps.both_at_once, 2),
    Choice(steps.edit_there, 2),
    Choice(steps.run, 8, pending=False),
    Choice(steps.run_that_fails, 2, pending=False),
    Choice(steps.interrupt, 2, pending=False),
    Choice(steps.detach, 4, pending=False),
    Choice(steps.attach, 8, pending=True),
    Choice(steps.cancel, 6, pending=True),
    Choice(accidents.fault, 12),
    Choice(accidents.fault_while_attached, 4, pending=True),
    Choice(accidents.fault_while_cancelled, 4, pending=True),
    Choice(accidents.expired_token, 2),
    Choice(accidents.lost_driver, 2, pending=False),
    Choice(accidents.killed_client, 3, pending=False),
    Choice(accidents.killed_midway, 4),
    Choice(accidents.killed_sandbox, 2, pending=False),
    Choice(accidents.killed_sandbox_midway, 2),
)


def main() -> int:
    """Play until the time is over, something is found or somebody stops it; then nothing is left running."""
    options = _options()
    for number, handler in ((signal.SIGINT, _stop), (signal.SIGTERM, _stop), (signal.SIGALRM, _give_up)):
        signal.signal(number, handler)
    scratch = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes, in {scratch}", flush=True)
    world = World(scratch)
    status = 1
    try:
        world.open()
        taken = _play(world, options.seed, options.minutes * 60)
        world.close()
        print(f"seed {options.seed}: {sum(taken.values())} steps, nothing found: {taken}")
        status = 0
    except (AssertionError, HybridError, subprocess.TimeoutExpired):
        traceback.print_exc()
    except _StoppedError as stopped:
        print(f"Stopped by signal {stopped.number}.")
        status = 128 + stopped.number
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        processes.kill_all(scratch)
        if status == 1:
            print(f"FOUND SOMETHING; once more: make soak SEED={options.seed}. Kept: {scratch}")
        else:
            shutil.rmtree(scratch)
    return status


class _StoppedError(Exception):
    """Somebody stops the campaign."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StoppedError(number)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"the step does not end within {_STEP_SECONDS} s")


def _play(world: World, seed: int, seconds: float) -> dict[str, int]:
    began = time.monotonic()
    signal.alarm(_STEP_SECONDS)
    for user in world.users:
        steps.push(world, user, random.Random(seed))
        steps.run(world, user, random.Random(seed))
    oracle.check(world)
    taken: dict[str, int] = {}
    while time.monotonic() - began < seconds:
        chance = random.Random(f"{seed}:{sum(taken.values())}")
        user = chance.choice(world.users)
        going_on = user.history.pending is not None
        fitting = [choice for choice in CHOICES if choice.pending in {None, going_on}]
        (choice,) = chance.choices(fitting, [choice.weight for choice in fitting])
        name = choice.step.__name__
        world.note(f"{time.monotonic() - began:6.1f} s  {sum(taken.values()):4}  {user.name:17} {name}")
        signal.alarm(_STEP_SECONDS)
        choice.step(world, user, chance)
        oracle.check(world)
        signal.alarm(0)
        taken[name] = taken.get(name, 0) + 1
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long to play")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which steps are taken"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
