"""Steps with failures: faults of the service, and processes that are killed.

A command during a failure may succeed or fail, but its exit status must be right and it must leave nothing
incomplete.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.soak.history import NO_END
from tests.soak.oracle import outcome, runs_folder
from tests.soak.processes import wait_for_no_orphans
from tests.soak.steps import run_that_waits

if TYPE_CHECKING:
    from random import Random

    from tests.e2e.commands import Result, Started
    from tests.soak.campaign import Campaign, User

VERBS = ("push", "pull", "data push", "data pull", "run")
_FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 503}),
    ("status", {"status": 500}),
    ("delay", {"seconds": 0.5}),
    ("reset-before", {}),
    ("reset-after", {}),
    ("truncate", {}),
    ("stale", {}),
)


def fault(campaign: Campaign, user: User, chance: Random) -> None:
    """Cause faults in some requests of a command."""
    free = [verb for verb in VERBS if verb != "run" or not user.history.pending]
    verb = chance.choice(free)
    _some_fault(campaign, chance, verb)
    result = _perform(user, verb)
    campaign.clear_faults()
    judge(user, verb, result)


def fault_while_attached(campaign: Campaign, user: User, chance: Random) -> None:
    """Cause faults in some requests of a command that follows a run to its end."""
    pending = user.history.pending
    assert pending is not None
    _some_fault(campaign, chance, "attach")
    attached = user.start("attach")
    pending.gate.touch()
    result = attached.finish()
    campaign.clear_faults()
    if result.status != 0:
        must_fail(result)
        user.ok("attach")
    user.history.pending_ends("completed")


def fault_while_cancelled(campaign: Campaign, user: User, chance: Random) -> None:
    """Cause faults in some requests of a command that cancels a run; if it succeeds, the run has ended."""
    _some_fault(campaign, chance, "cancel")
    result = user.run("cancel")
    campaign.clear_faults()
    if result.status != 0:
        must_fail(result)
        again = user.run("cancel")
        assert again.status == 0 or "has ended already: cancelled" in again.errors[0], str(again)
    user.history.pending_ends("cancelled")


def expired_token(campaign: Campaign, user: User, chance: Random) -> None:
    """Let the token expire during a command."""
    verb = chance.choice(["push", "data push", "data pull"])
    campaign.fault("expire-token", path="/api/*", nth=chance.randint(1, 6))
    result = _perform(user, verb)
    campaign.clear_faults()
    judge(user, verb, result)


def lost_driver(campaign: Campaign, user: User, chance: Random) -> None:
    """Lose all contexts or the cluster while a run is being followed."""
    followed = run_that_waits(campaign, user, chance, stay=True)
    assert followed is not None
    campaign.fault(chance.choice(["evict-contexts", "terminate-cluster"]))
    result = followed.finish()
    campaign.clear_faults()
    must_fail(result)
    lose_runs(campaign)


def killed_client(campaign: Campaign, user: User, chance: Random) -> None:
    """Kill the command that follows a run; the run continues."""
    followed = run_that_waits(campaign, user, chance, stay=True)
    assert followed is not None
    followed.process.kill()
    assert followed.finish().status < 0


def killed_midway(campaign: Campaign, user: User, chance: Random) -> None:
    """Kill a command that transfers code or data, at any moment."""
    verb = chance.choice(["push", "pull", "data push", "data pull"])
    command = _start(user, verb)
    seconds = chance.uniform(0.3, 3)
    campaign.note(f"  {verb}, killed after {seconds:.2f} s")
    time.sleep(seconds)
    command.process.kill()
    result = command.finish()
    wait_for_no_orphans(campaign.scratch, campaign.running().pid)
    arrive(user, verb, surely=result.status == 0)


def killed_sandbox(campaign: Campaign, user: User, chance: Random) -> None:
    """Kill the sandbox while a run is being followed, and start it again."""
    followed = run_that_waits(campaign, user, chance, stay=True)
    assert followed is not None
    restart(campaign, followed.process.pid)
    must_fail(followed.finish())
    lose_runs(campaign)


def killed_sandbox_midway(campaign: Campaign, user: User, chance: Random) -> None:
    """Kill the sandbox during a command that transfers code or data, and start it again."""
    verb = chance.choice(["push", "pull", "data push", "data pull"])
    command = _start(user, verb)
    seconds = chance.uniform(0.3, 3)
    campaign.note(f"  {verb}, the sandbox killed after {seconds:.2f} s")
    time.sleep(seconds)
    restart(campaign, command.process.pid)
    result = command.finish()
    lose_runs(campaign)
    judge(user, verb, result)


def _some_fault(campaign: Campaign, chance: Random, verb: str) -> None:
    effect, details = chance.choice(_FAULTS)
    rule = {"path": "/api/*", "nth": chance.randint(1, 25), "times": chance.randint(1, 3), **details}
    campaign.note(f"  {effect} {rule} while {verb}")
    campaign.fault(effect, **rule)


def _start(user: User, verb: str) -> Started:
    if verb == "pull":
        user.shell.ok("git push -q origin main")
    return user.start(verb)


def _perform(user: User, verb: str) -> Result:
    return _start(user, verb).finish()


def restart(campaign: Campaign, *clients: int) -> None:
    """Kill the sandbox while these commands run, and start it again."""
    campaign.kill()
    wait_for_no_orphans(campaign.scratch, *clients)
    campaign.start()


def judge(user: User, verb: str, result: Result) -> None:
    """Check a command's exit status and message, and record what it may have done."""
    if result.status != 0:
        must_fail(result)
    if verb == "run" and result.status != 0:
        _finish_run(user)
    else:
        arrive(user, verb, surely=result.status == 0)


def arrive(user: User, verb: str, *, surely: bool) -> None:
    """Record what a command has done, or may have done."""
    history = user.history
    if verb in {"push", "pull", "pull --save"}:
        history.code_arrives(surely=surely)
    if verb in {"push", "data push"}:
        history.data_arrives(surely=surely)
    if verb == "data pull":
        history.result_is_pulled(surely=surely)
    if verb == "run":
        history.started.expect("completed")
        history.result_arrives(history.result(), surely=surely)


def _finish_run(user: User) -> None:
    """Follow a run that continues although its command failed, to its end."""
    history = user.history
    new = [folder for folder in runs_folder(user).iterdir() if folder.name not in history.runs]
    history.started.allow("completed")
    history.result_arrives(history.result(), surely=False)
    if new and outcome(new[0]) == NO_END:
        user.ok("attach")


def must_fail(result: Result) -> None:
    """Check that a command was refused in one line."""
    assert result.status == 1, str(result)
    assert len(result.errors) == 1, str(result)
    assert "Traceback" not in result.out + result.err, str(result)


def lose_runs(campaign: Campaign) -> None:
    """Check that `attach` reports every pending run as lost and records that."""
    for user in campaign.users:
        if user.history.pending:
            must_fail(user.run("attach"))
            user.history.pending_ends("failed")
