"""Requirements against what a Databricks Runtime brings: what would replace its own packages. Pure.

The facts lie in runtime_packages.json, each runtime's with the source that they were read from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro_databricks_hybrid.requirement_lines import Listing, Requirement


class Verdict(Enum):
    """What installing a requirement does to the runtime."""

    FINE = "fine"
    CONFLICTS = "conflicts"
    """It puts another version in the place of one that the runtime brings and was built with."""
    REPLACES = "replaces"
    """It puts something in the place of the runtime's own Spark, Delta or Databricks Connect."""


@dataclass(frozen=True)
class Judgement:
    """What one requirement does to a runtime.

    Args:
        requirement: The requirement.
        verdict: What it does.
        reason: Why, as half a sentence for the user; empty where it is fine.
        fix: What to write instead; empty where it is fine.
        shipped: The version that the runtime brings, where that is known.
    """

    requirement: Requirement
    verdict: Verdict
    reason: str = ""
    fix: str = ""
    shipped: str | None = None


def judge(listing: Listing, runtime: str | None, python: str | None = None) -> list[Judgement]:
    """Judge each requirement that applies on a runtime.

    Args:
        listing: The requirements.
        runtime: The key of the runtime, such as 17.3.x-scala2.13 or serverless-4; None where it is not known,
            then only what no runtime may have replaced is found.
        python: The Python version there, such as 3.12, where it is known better than by the runtime's key.
    """
    facts = _facts(runtime)
    version = python or facts.get("python")
    shipped = facts.get("packages", {})
    return [_judge(each, shipped) for each in listing.requirements if _applies(each, version)]


def is_known(runtime: str) -> bool:
    """Tell whether the versions are known that a runtime brings."""
    return bool(_facts(runtime).get("packages"))


def source(runtime: str) -> str | None:
    """Return where the versions of a runtime were read."""
    found: str | None = _facts(runtime).get("source")
    return found


def _judge(requirement: Requirement, shipped: dict[str, str]) -> Judgement:
    name, text = requirement.name, requirement.text
    if why := _data()["own"].get(name):
        fix = f"Remove {name} from {requirement.file}"
        return Judgement(requirement, Verdict.REPLACES, f"{text}: {why}", fix)
    extras = _data()["extras"].get(name, {})
    if bringing := sorted(requirement.extras & extras.keys()):
        brought = " and ".join(sorted({extras[extra] for extra in bringing}))
        reason = f"{text} brings {brought}, which the runtime has itself"
        fix = f"Remove the extra {', '.join(bringing)} of {name} from {requirement.file}"
        return Judgement(requirement, Verdict.REPLACES, reason, fix)
    version = shipped.get(name)
    if version is None or (
        not requirement.address and requirement.specifier.contains(version, prereleases=True)
    ):
        return Judgement(requirement, Verdict.FINE, shipped=version)
    reason = f"{text} replaces the runtime's own {name} {version}"
    fix = f"Allow {name}=={version} in {requirement.file}, or choose another runtime"
    return Judgement(requirement, Verdict.CONFLICTS, reason, fix, version)


def _applies(requirement: Requirement, python: str | None) -> bool:
    """Tell whether a requirement's marker holds on a cluster; unknown Python versions count as ours."""
    if requirement.marker is None:
        return True
    there = {
        "extra": "",
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    if python:
        there |= {"python_version": python, "python_full_version": f"{python}.0"}
    return requirement.marker.evaluate(there)


def _facts(runtime: str | None) -> dict[str, Any]:
    """Return what is known of a runtime; those for machine learning bring packages of their own."""
    key = runtime or ""
    match = re.fullmatch(r"(?P<number>\d+\.\d+)(\.x.*)?", key)
    if match and "-ml-" not in key:
        key = match["number"]
    found: dict[str, Any] = _data()["runtimes"].get(key, {})
    return found


@cache
def _data() -> dict[str, Any]:
    text = resources.files("kedro_databricks_hybrid").joinpath("runtime_packages.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
