"""What tasks without a program decide: conditions, and the inputs of a loop. Pure."""

from __future__ import annotations

import json
import operator
from decimal import Decimal, InvalidOperation
from typing import Any

from kedro_databricks_hybrid.sandbox.jobs.runs import TaskFailedError

COMPARISONS = {
    "EQUAL_TO": operator.eq,
    "NOT_EQUAL": operator.ne,
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL": operator.le,
}
"""The `op` of a condition; the first two compare texts, the others numbers."""

_COMPARE_TEXTS = {"EQUAL_TO", "NOT_EQUAL"}
MAX_INPUTS = 5000


def holds(condition: dict[str, Any]) -> bool:
    """Return whether a `condition_task` is true.

    Raises:
        TaskFailedError: It compares numbers, and an operand is none.
    """
    name, operands = condition["op"], [condition["left"], condition["right"]]
    if name in _COMPARE_TEXTS:
        return bool(COMPARISONS[name](*operands))
    try:
        return bool(COMPARISONS[name](*(Decimal(one.strip()) for one in operands)))
    except InvalidOperation:
        message = f"{name} compares numbers; one of {operands[0]!r} and {operands[1]!r} is not a number."
        raise TaskFailedError("INVALID_RUN_CONFIGURATION", message) from None


def inputs_of(loop: dict[str, Any]) -> list[Any]:
    """Return the inputs of a `for_each_task` whose references are replaced.

    Raises:
        TaskFailedError: They are not a JSON array, or too many.
    """
    given = loop["inputs"]
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, list):
        message = f"inputs of a for_each_task must be a JSON array, not {given[:100]!r}."
        raise TaskFailedError("INVALID_RUN_CONFIGURATION", message)
    if len(found) > MAX_INPUTS:
        message = f"A for_each_task has at most {MAX_INPUTS} inputs, not {len(found)}."
        raise TaskFailedError("INVALID_RUN_CONFIGURATION", message)
    return found


def as_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a value as a reference to it is replaced: a text as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value)
