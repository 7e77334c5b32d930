"""The environment of a serverless job, built from the project's requirements. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.requirement_lines import Listing
from kedro_databricks_hybrid.runtime_packages import Verdict, judge

if TYPE_CHECKING:
    from kedro_databricks_hybrid.requirement_lines import Requirement

KEY = "kedro"
"""What a task calls its environment."""


@dataclass(frozen=True)
class Dependencies:
    """What an environment installs, and what it must not.

    Args:
        lines: Lines as requirements files have them.
        left_out: The requirements, or extras of them, that the runtime provides itself.
    """

    lines: list[str]
    left_out: list[str]


def dependencies(listing: Listing, version: str) -> Dependencies:
    """Return what an environment needs for these requirements.

    Args:
        listing: The requirements.
        version: The environment's version.
    """
    lines, left_out = [], []
    for wanted in listing.requirements:
        if _is_provided(replace(wanted, extras=frozenset()), version):
            left_out.append(wanted.name)
            continue
        provided = {
            each for each in wanted.extras if _is_provided(replace(wanted, extras=frozenset({each})), version)
        }
        lines.append(_line(replace(wanted, extras=wanted.extras - provided)))
        left_out += [f"{wanted.name}[{each}]" for each in sorted(provided)]
    return Dependencies(lines, left_out)


def environment(version: str, lines: list[str]) -> dict[str, object]:
    """Return the environment as the jobs API takes it."""
    spec: dict[str, object] = {"environment_version": version}
    if lines:
        spec["dependencies"] = lines
    return {"environment_key": KEY, "spec": spec}


def _is_provided(wanted: Requirement, version: str) -> bool:
    judged = judge(Listing([wanted]), f"serverless-{version}")
    return any(each.verdict is Verdict.REPLACES for each in judged)


def _line(wanted: Requirement) -> str:
    """Write a requirement as one line; one that has an address stays as it was written."""
    if wanted.address:
        return wanted.text
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    marker = f"; {wanted.marker}" if wanted.marker else ""
    return f"{wanted.name}{extras}{wanted.specifier}{marker}"
