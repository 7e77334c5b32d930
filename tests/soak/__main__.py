"""Random steps of two users on the sandbox: `make soak MINUTES=30`. The same seed takes the same steps."""

from __future__ import annotations

import argparse
import os
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
from tests.sandbox.users_of_the_machine import ALLOWED, MAY_BIND
from tests.soak import attacks, failures, oracle, processes, steps
from tests.soak.campaign import Campaign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from tests.soak.campaign import User

_STEP_SECONDS = 300


@dataclass(frozen=True)
class Choice:
    """A step, its weight, and whether it needs a pending run (True), none (False), or either (None)."""

    step: Callable[[Campaign, User, random.Random], object]
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
    Choice(failures.fault, 12),
    Choice(failures.fault_while_attached, 4, pending=True),
    Choice(failures.fault_while_cancelled, 4, pending=True),
    Choice(failures.expired_token, 2),
    Choice(failures.lost_driver, 2, pending=False),
    Choice(failures.killed_client, 3, pending=False),
    Choice(failures.killed_midway, 4),
    Choice(failures.killed_sandbox, 2, pending=False),
    Choice(failures.killed_sandbox_midway, 2),
    Choice(attacks.hostile_workspace, 12),
    Choice(attacks.pairs_of_names, 2),
    Choice(attacks.links, 2),
    Choice(attacks.shared_root, 3),
    Choice(attacks.killed_setup, 6, pending=False),
    Choice(attacks.read_only, 4),
    Choice(attacks.clock_jump, 3),
)


def main() -> int:
    """Perform steps until the time is up, a fault is found or a signal arrives; then end all processes."""
    options = _options()
    _drop_privileges()
    for number, handler in ((signal.SIGINT, _stop), (signal.SIGTERM, _stop), (signal.SIGALRM, _time_out)):
        signal.signal(number, handler)
    scratch = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes, in {scratch}", flush=True)
    campaign = Campaign(scratch)
    status = 1
    try:
        campaign.open()
        choices = [each for each in CHOICES if not options.only or each.step.__name__ in options.only]
        taken = _take_steps(campaign, choices, options.seed, options.minutes * 60)
        campaign.close()
        print(f"seed {options.seed}: {sum(taken.values())} steps, no fault found: {taken}")
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
            print(f"FAULT FOUND. Repeat it with: make soak SEED={options.seed}. Files: {scratch}")
        else:
            shutil.rmtree(scratch)
    return status


def _drop_privileges() -> None:
    """Start again as an ordinary user, for whom file permissions apply."""
    if os.name == "posix" and os.geteuid() == 0 and MAY_BIND:
        os.execvp(ALLOWED[0], [*ALLOWED, sys.executable, "-m", "tests.soak", *sys.argv[1:]])  # noqa: S606 - itself


class _StoppedError(Exception):
    """A signal stopped the campaign."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StoppedError(number)


def _time_out(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"the step did not end within {_STEP_SECONDS} s")


def _take_steps(campaign: Campaign, choices: Sequence[Choice], seed: int, seconds: float) -> dict[str, int]:
    began = time.monotonic()
    signal.alarm(_STEP_SECONDS)
    for user in campaign.users:
        steps.push(campaign, user, random.Random(seed))
        steps.run(campaign, user, random.Random(seed))
    oracle.check(campaign)
    taken: dict[str, int] = {}
    while time.monotonic() - began < seconds:
        chance = random.Random(f"{seed}:{sum(taken.values())}")
        user = chance.choice(campaign.users)
        has_pending_run = user.history.pending is not None
        fitting = [choice for choice in choices if choice.pending in {None, has_pending_run}]
        # A short campaign takes steps of as many kinds as possible.
        weights = [choice.weight / (1 + taken.get(choice.step.__name__, 0)) for choice in fitting]
        (choice,) = chance.choices(fitting, weights)
        name = choice.step.__name__
        campaign.note(f"{time.monotonic() - began:6.1f} s  {sum(taken.values()):4}  {user.name:17} {name}")
        signal.alarm(_STEP_SECONDS)
        choice.step(campaign, user, chance)
        oracle.check(campaign)
        signal.alarm(0)
        taken[name] = taken.get(name, 0) + 1
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long to take steps")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="selects the steps"
    )
    parser.add_argument("--only", nargs="*", default=(), help="names of the steps to take; default: all")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
