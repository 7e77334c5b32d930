"""The environment of a serverless job, built from the project's requirements. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.run.requirements import fit

if TYPE_CHECKING:
    from kedro_databricks_hybrid.run.requirements import Fit, Requirements

KEY = "kedro"
"""What a task calls its environment."""


def dependencies(requirements: Requirements, version: str) -> Fit:
    """Return what an environment installs, always as lines: it is made before there is a file to read.

    Args:
        requirements: The requirements.
        version: The environment's version.
    """
    return fit(replace(requirements, is_for_pip=False), f"serverless-{version}")


def environment(version: str, lines: list[str]) -> dict[str, object]:
    """Return the environment as the jobs API takes it."""
    spec: dict[str, object] = {"environment_version": version}
    if lines:
        spec["dependencies"] = lines
    return {"environment_key": KEY, "spec": spec}
