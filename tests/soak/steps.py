"""Steps of a user: each runs commands, and records in the history what they must have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak.campaign import NODES, RAW
from tests.soak.history import NO_END, Pending

if TYPE_CHECKING:
    from random import Random

    from tests.e2e.commands import Started
    from tests.soak.campaign import Campaign, User


def edit_code(campaign: Campaign, user: User, chance: Random) -> None:
    """Change the code and commit, locally only."""
    user.edit(chance.randint(2, 1000))


def edit_data(campaign: Campaign, user: User, chance: Random) -> None:
    """Change the raw table, locally only."""
    numbers = [str(chance.randint(1, 1000)) for _ in range(chance.randint(1, 2000))]
    user.history.raw = "\n".join(["a", *numbers, ""])
    (user.shell.folder / RAW).write_text(user.history.raw)


def push(campaign: Campaign, user: User, chance: Random) -> None:
    """Push code and data."""
    user.ok("push")
    user.history.code_arrives(surely=True)
    user.history.data_arrives(surely=True)


def pull(campaign: Campaign, user: User, chance: Random) -> None:
    """Push with git, and let the Git folder pull the commit."""
    user.shell.ok("git push -q origin main")
    user.ok("pull")
    user.history.code_arrives(surely=True)


def push_data(campaign: Campaign, user: User, chance: Random) -> None:
    """Push only the data."""
    user.ok("data push")
    user.history.data_arrives(surely=True)


def pull_data(campaign: Campaign, user: User, chance: Random) -> None:
    """Pull the results."""
    user.ok("data pull")
    user.history.result_is_pulled(surely=True)


def run(campaign: Campaign, user: User, chance: Random) -> None:
    """Run the pipeline to its end."""
    user.ok("run")
    user.history.started.expect("completed")
    user.history.result_arrives(user.history.result(), surely=True)


def run_that_fails(campaign: Campaign, user: User, chance: Random) -> None:
    """Run code that raises: exit status 1, and no result is written."""
    failed = user.run("run --params=what=fail")
    assert failed.status == 1, str(failed)
    assert "asked to fail" in failed.errors[0], str(failed)
    user.history.started.expect("failed")


def run_that_waits(campaign: Campaign, user: User, chance: Random, *, stay: bool) -> Started | None:
    """Start a run that waits for its gate; with `stay`, return the command that follows it."""
    gate = campaign.gate(f"{chance.getrandbits(64):x}")
    user.history.pending = Pending(gate, user.history.result())
    user.history.started.expect(NO_END)
    verb = f"run --params=what=/dbfs/{gate.name}"
    if stay:
        followed = user.start(verb)
        list(followed.lines_until("waiting"))
        return followed
    user.ok(f"{verb} --detach")
    attached = user.start("attach")
    list(attached.lines_until("waiting"))
    attached.process.kill()
    attached.process.communicate()
    return None


def detach(campaign: Campaign, user: User, chance: Random) -> None:
    """Start a run and detach from it."""
    run_that_waits(campaign, user, chance, stay=False)


def attach(campaign: Campaign, user: User, chance: Random) -> None:
    """Follow the pending run to its end."""
    pending = user.history.pending
    assert pending is not None
    attached = user.start("attach")
    pending.gate.touch()
    result = attached.finish()
    assert result.status == 0, str(result)
    user.history.pending_ends("completed")


def cancel(campaign: Campaign, user: User, chance: Random) -> None:
    """Cancel the pending run while another shell follows it; both report it."""
    attached = user.start("attach --all")
    list(attached.lines_until("waiting"))
    assert "was cancelled" in user.ok("cancel").out
    result = attached.finish()
    assert result.status == 130, str(result)
    assert user.run("cancel").status == 1
    user.history.pending_ends("cancelled")


def interrupt(campaign: Campaign, user: User, chance: Random) -> None:
    """Press Ctrl-C: the run is cancelled."""
    followed = run_that_waits(campaign, user, chance, stay=True)
    assert followed is not None
    followed.interrupt()
    result = followed.finish()
    assert result.status == 130, str(result)
    user.history.pending_ends("cancelled")


def edit_there(campaign: Campaign, user: User, chance: Random) -> None:
    """Edit a file in the Git folder: push refuses; with --force it saves the edit, then discards it."""
    edited = user.git_folder / NODES
    theirs = f"{edited.read_text()}# theirs {chance.getrandbits(64):x}\n"
    edited.write_text(theirs)
    (there,) = user.history.code_there
    user.edit(user.history.factors[there] + chance.randint(1, 1000))  # the checkout changes this file, too
    refused = user.run("push --no-data")
    assert refused.status == 1, str(refused)
    assert NODES in refused.errors[0], str(refused)
    assert edited.read_text() == theirs, str(refused)
    user.ok("push --no-data --force")
    branches = user.shell.ok(
        "git for-each-ref --format=%(refname) refs/heads/kedro-hybrid/rescued"
    ).out.split()
    saved = [user.shell.run(f"git show {branch}:{NODES}").out for branch in branches]
    assert theirs in saved, f"{theirs!r} was not saved in any of {branches}"
    user.history.code_arrives(surely=True)


def both_at_once(campaign: Campaign, user: User, chance: Random) -> None:
    """Both users push at the same time."""
    started = [(each, each.start("push")) for each in campaign.users]
    for each, command in started:
        result = command.finish()
        assert result.status == 0, str(result)
        each.history.code_arrives(surely=True)
        each.history.data_arrives(surely=True)
