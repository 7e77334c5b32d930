"""Which tasks start and how a run ends, depending on the states of earlier tasks."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.sandbox.jobs import runs, task_order
from kedro_databricks_hybrid.sandbox.jobs.runs import (
    CANCELLED,
    EXCLUDED,
    FAILED,
    SUCCEEDED,
    TIMED_OUT,
    UPSTREAM_CANCELLED,
    UPSTREAM_FAILED,
    State,
)


@pytest.mark.parametrize(
    ("condition", "before", "expected"),
    [
        ("ALL_SUCCESS", [], None),
        ("ALL_SUCCESS", [SUCCEEDED, SUCCEEDED], None),
        ("ALL_SUCCESS", [SUCCEEDED, FAILED], UPSTREAM_FAILED),
        ("ALL_SUCCESS", [SUCCEEDED, TIMED_OUT], UPSTREAM_FAILED),
        ("ALL_SUCCESS", [UPSTREAM_FAILED], UPSTREAM_FAILED),
        ("ALL_SUCCESS", [CANCELLED], UPSTREAM_CANCELLED),
        ("ALL_SUCCESS", [EXCLUDED], EXCLUDED),
        ("ALL_DONE", [FAILED, CANCELLED], None),
        ("NONE_FAILED", [SUCCEEDED, EXCLUDED], None),
        ("NONE_FAILED", [SUCCEEDED, FAILED], EXCLUDED),
        ("AT_LEAST_ONE_SUCCESS", [SUCCEEDED, FAILED], None),
        ("AT_LEAST_ONE_SUCCESS", [FAILED], EXCLUDED),
        ("AT_LEAST_ONE_FAILED", [SUCCEEDED, FAILED], None),
        ("AT_LEAST_ONE_FAILED", [SUCCEEDED], EXCLUDED),
        ("ALL_FAILED", [FAILED, FAILED], None),
        ("ALL_FAILED", [FAILED, SUCCEEDED], EXCLUDED),
    ],
)
def test_conditions(condition: str, before: list[State], expected: State | None) -> None:
    """A task starts, or ends without starting, depending on its run_if condition."""
    assert task_order.refusal(condition, before) == expected


@pytest.mark.parametrize(
    ("last", "result", "life_cycle"),
    [
        (SUCCEEDED, "SUCCESS_WITH_FAILURES", "TERMINATED"),
        (EXCLUDED, "SUCCESS_WITH_FAILURES", "TERMINATED"),
        (UPSTREAM_FAILED, "FAILED", "INTERNAL_ERROR"),
        (FAILED, "FAILED", "INTERNAL_ERROR"),
    ],
)
def test_a_run_ends_as_its_last_tasks_do(last: State, result: str, life_cycle: str) -> None:
    """An earlier failure fails the run only if it reaches the last tasks."""
    ended = task_order.outcome({"first": FAILED, "last": last}, {"first": (), "last": ("first",)})
    assert (ended.result, ended.life_cycle) == (result, life_cycle)


def test_runs_without_failures() -> None:
    """Without failures, a run is cancelled if one of its tasks was, else successful."""
    assert task_order.outcome({"a": SUCCEEDED, "b": SUCCEEDED}, {"a": (), "b": ()}) is runs.SUCCEEDED
    assert task_order.outcome({"a": SUCCEEDED, "b": CANCELLED}, {"a": (), "b": ()}).result == "CANCELED"
