"""What Databricks Runtimes bring, and which databricks-connect fits them. Pure.

The data lie in runtime_packages.json, each runtime with the source that it was read from, and the rules for
databricks-connect in connect_versions.json.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import ComputeError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.project.requirements_file import Listing, Requirement

_RUNTIME_NUMBER = re.compile(r"^(\d+)\.(\d+|x)")


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


def ended(runtime: str, today: date) -> date | None:
    """Return the day on which a runtime's support ended, None where it has not or that is not known."""
    day = _facts(runtime).get("ends")
    end = date.fromisoformat(day) if day else None
    return end if end and end < today else None


def serverless_versions() -> list[str]:
    """Return the versions of serverless environments that are known, the oldest first."""
    names = (name.partition("serverless-")[2] for name in _package_data()["runtimes"])
    return sorted(filter(None, names), key=int)


def source(runtime: str) -> str | None:
    """Return where the versions of a runtime were read."""
    found: str | None = _facts(runtime).get("source")
    return found


def _judge(requirement: Requirement, shipped: dict[str, str]) -> Judgement:
    name, text = requirement.name, requirement.text
    if why := _package_data()["own"].get(name):
        fix = f"Remove {name} from {requirement.file}"
        return Judgement(requirement, Verdict.REPLACES, f"{text}: {why}", fix)
    extras = _package_data()["extras"].get(name, {})
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
    """Return what is known of a runtime; those for machine learning bring packages of their own.

    So does the sandbox, which calls its runtime by a number and what it is made of.
    """
    key = runtime or ""
    match = re.fullmatch(r"(?P<number>\d+(\.\d+)?)(\.x.*)?", key)
    if match and not re.search("-(ml|sandbox)-", key):
        key = match["number"]
    found: dict[str, Any] = _package_data()["runtimes"].get(key, {})
    return found


@cache
def _package_data() -> dict[str, Any]:
    text = (
        resources.files("kedro_databricks_hybrid.project")
        .joinpath("runtime_packages.json")
        .read_text("utf-8")
    )
    data: dict[str, Any] = json.loads(text)
    return data


@dataclass(frozen=True)
class ConnectClient:
    """What is installed here.

    Args:
        version: Of databricks-connect, such as 16.1.7.
        python: Of Python, such as 3.11.
    """

    version: str
    python: str


def check_connect_to_cluster(client: ConnectClient, spark_version: str) -> str | None:
    """Check a client against a cluster; return a remark where it works but for one thing.

    Args:
        client: What is installed here.
        spark_version: The cluster's runtime as the API spells it, such as 17.3.x-scala2.13.

    Raises:
        ComputeError: The client is newer than the runtime; the message has the pin to install.
    """
    found = _RUNTIME_NUMBER.match(spark_version)
    if not found:
        return None  # an image of one's own: Databricks itself will say
    runtime = found[1] if found[2] == "x" else f"{found[1]}.{found[2]}"
    python = _connect_rules()["runtimes"].get(runtime, {}).get("python")
    if _numbers(client.version)[: len(_numbers(runtime))] > _numbers(runtime):
        with_python = f" in an environment with Python {python}" if python and python != client.python else ""
        raise ComputeError(
            f"databricks-connect {client.version} is newer than the cluster's Databricks Runtime {runtime}, "
            "which does not work.",
            hint=f'Install the one that fits{with_python}: pip install "databricks-connect=={runtime}.*".',
        )
    if python and python != client.python:
        return (
            f"Python here is {client.python} and {python} on Databricks Runtime {runtime}: user-defined "
            f"functions will fail. They need an environment with Python {python} and "
            f'pip install "databricks-connect=={runtime}.*".'
        )
    return None


def check_connect_to_serverless(client: ConnectClient) -> None:
    """Check a client against serverless compute.

    Raises:
        ComputeError: It is too old; the message has the pin to install.
    """
    oldest = _connect_rules()["serverless"]["oldest_client"]
    if _numbers(client.version) < _numbers(oldest):
        raise ComputeError(
            f"databricks-connect {client.version} is too old for serverless compute.",
            hint=f'Install a newer one: pip install "databricks-connect>={oldest}".',
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


@lru_cache(maxsize=1)
def _connect_rules() -> dict[str, Any]:
    rules: dict[str, Any] = json.loads(
        Path(__file__).with_name("connect_versions.json").read_text(encoding="utf-8")
    )
    return rules
