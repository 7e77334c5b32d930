"""Runs that something happens to: a lost network, a lost driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.test_run import RUN, commit_node
from tests.e2e.test_runs import let_go, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.commands import Shell

FAULT = "kedro databricks sandbox fault"


def test_a_lost_network_harms_no_run(tiny: Callable[[str], Shell]) -> None:
    """Connections that break while a run is followed are said and waited out; every line comes, once."""
    shell = tiny("lost-network")
    commit_node(shell, waiting(shell))
    followed = shell.start(RUN)
    list(followed.lines_until("waiting"))
    shell.ok(f"{FAULT} add reset-before --path=/api/* --times=4")
    let_go(shell)
    result = followed.finish()
    shell.ok(f"{FAULT} clear")
    assert result.status == 0, str(result)
    assert "Databricks has not answered for 5 s. The run goes on" in result.err
    assert "Databricks answers again" in result.err
    assert result.out.count("went on") == 1


def test_a_driver_that_is_lost(tiny: Callable[[str], Shell]) -> None:
    """An evicted context and a terminated cluster end the command with what is known; runs work again."""
    shell = tiny("lost-driver")
    commit_node(shell, waiting(shell))
    for accident, words in (
        ("evict-contexts", "ended before the run did"),
        ("terminate-cluster", "the cluster sandbox is terminat"),
    ):
        followed = shell.start(RUN)
        list(followed.lines_until("waiting"))
        shell.ok(f"{FAULT} add {accident}")
        result = followed.finish()
        shell.ok(f"{FAULT} clear")
        assert result.status == 1, str(result)
        assert words in result.errors[0]
    let_go(shell)
    assert "went on" in shell.ok(RUN).out
