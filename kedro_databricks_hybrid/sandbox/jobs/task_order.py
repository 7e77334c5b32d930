"""Which tasks of a run start, and the final state of the run. Pure.

Jobs use `run_if` for tasks that clean up or notify after a failure (`ALL_DONE`, `AT_LEAST_ONE_FAILED`);
without it these would be skipped here just when they are meant to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.jobs import runs
from kedro_databricks_hybrid.sandbox.jobs.runs import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONDITIONS = (
    *("ALL_SUCCESS", "ALL_DONE", "NONE_FAILED"),
    *("AT_LEAST_ONE_SUCCESS", "AT_LEAST_ONE_FAILED", "ALL_FAILED"),
)
_FAILED = {"FAILED", "TIMEDOUT", "UPSTREAM_FAILED"}
_CANCELLED = {"CANCELED", "UPSTREAM_CANCELED"}
_NOT_DONE = _FAILED | _CANCELLED


def refusal(condition: str, before: Iterable[State]) -> State | None:
    """Return the final state of a task that must not start, None if it is to start.

    Args:
        condition: Its `run_if`.
        before: The final states of the tasks that it depends on.
    """
    results = [state.result for state in before]
    failed = [result in _FAILED for result in results]
    succeeded = [result == "SUCCESS" for result in results]
    if not results:
        return None
    if condition == "ALL_SUCCESS" and any(result in _NOT_DONE for result in results):
        return runs.UPSTREAM_FAILED if any(failed) else runs.UPSTREAM_CANCELLED
    met = {
        "ALL_SUCCESS": all(succeeded),
        "ALL_DONE": True,
        "NONE_FAILED": any(succeeded) and not any(result in _NOT_DONE for result in results),
        "AT_LEAST_ONE_SUCCESS": any(succeeded),
        "AT_LEAST_ONE_FAILED": any(failed),
        "ALL_FAILED": all(failed),
    }
    return None if met[condition] else runs.EXCLUDED


def outcome(tasks: Mapping[str, State], after: Mapping[str, Iterable[str]]) -> State:
    """Return the final state of a run, decided by the tasks that no other task depends on.

    Args:
        tasks: The final state of each task.
        after: The keys of the tasks that each task depends on.
    """
    inner = {key for keys in after.values() for key in keys}
    leaves = [state for key, state in tasks.items() if key not in inner]
    failed = [key for key, state in tasks.items() if state.result == "FAILED"]
    if failed and any(state.result in {"FAILED", "UPSTREAM_FAILED"} for state in leaves):
        message = f"Task {failed[0]} failed with message: {tasks[failed[0]].message}."
        if len(tasks) > 1:
            message += " This caused all downstream tasks to get skipped."
        return State("INTERNAL_ERROR", "FAILED", message, tasks[failed[0]].code)
    for state in tasks.values():
        if state.result in {"CANCELED", "TIMEDOUT"}:
            return State(state.life_cycle, state.result, state.message, state.code)
    return runs.SUCCEEDED_PARTLY if failed else runs.SUCCEEDED
