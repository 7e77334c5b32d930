"""Which parameters of a request reach which tasks of a run."""

from __future__ import annotations

from typing import Any

import pytest

from kedro_databricks_hybrid.sandbox.jobs.parameters import overridden


@pytest.mark.parametrize(
    ("kind", "own", "given", "expected"),
    [
        ("spark_python_task", {"parameters": ["1"]}, {"python_params": ["2"]}, {"parameters": ["2"]}),
        ("python_wheel_task", {"parameters": ["1"]}, {"python_params": ["2"]}, {"parameters": ["2"]}),
        ("python_wheel_task", {"named_parameters": {"a": "1"}}, {"python_params": ["2"]},
         {"parameters": ["2"]}),
        ("python_wheel_task", {"parameters": ["1"]}, {"python_named_params": {"a": "2"}},
         {"named_parameters": {"a": "2"}}),
        ("python_wheel_task", {"named_parameters": {"a": "1", "b": "1"}}, {"python_named_params": {"a": "2"}},
         {"named_parameters": {"a": "2", "b": "1"}}),
        ("python_wheel_task", {"parameters": ["1"]}, {"python_params": [], "notebook_params": {"a": "2"}},
         {"parameters": ["1"]}),
        ("notebook_task", {}, {"notebook_params": {"a": "2"}}, {"base_parameters": {"a": "2"}}),
        ("notebook_task", {}, {"python_params": ["2"]}, {}),
    ],
)  # fmt: skip
def test_task_parameters_of_a_request(
    kind: str, own: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Parameters of a request replace those of tasks of their kind, without changing the job."""
    settings = {"tasks": [{"task_key": "a", kind: own}]}
    before = repr(settings)
    assert overridden(settings, given)["tasks"][0][kind] == expected
    assert repr(settings) == before
