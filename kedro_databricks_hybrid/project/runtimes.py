"""What Databricks Runtimes contain, and which requirements and databricks-connect fit them. Pure.

The client's only table of runtimes is runtime_packages.json, which only this module reads.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import ComputeError

if TYPE_CHECKING:
    from packaging.markers import Marker

    from kedro_databricks_hybrid.project.requirements_file import Listing, Requirement

_KEY = re.compile(r"(\d+)\.(\d+|x)")


@dataclass(frozen=True)
class Runtime:
    """A Databricks Runtime.

    Args:
        release: Its version, such as 17.3, or 18 for 18.x, which has no fixed minor version.
        spark: Its minor version of Spark, such as 4.0; None if unknown.
        python: Its minor version of Python, such as 3.12; None if unknown.
    """

    release: str
    spark: str | None = None
    python: str | None = None

    @property
    def is_supported(self) -> bool:
        """Whether it is not older than the oldest runtime in the table."""
        return _numbers(self.release) >= _numbers(oldest_release())

    def is_older_than(self, client: str) -> bool:
        """Tell whether a version of databricks-connect is too new for this runtime."""
        release = _numbers(self.release)
        return _numbers(client)[: len(release)] > release


def find(key: str) -> Runtime | None:
    """Return a runtime by its key in the API; None if the key contains no version, as for custom images.

    Args:
        key: Such as 17.3.x-scala2.13 or 18.x-aarch64-photon-scala2.13.
    """
    release = _release(key)
    if release is None:
        return None
    entry = _entry(key)
    return Runtime(release, entry.get("spark"), entry.get("python"))


def oldest_release() -> str:
    """Return the oldest supported runtime, such as 11.3."""
    releases: list[str] = [key for key in _table()["runtimes"] if key[0].isdigit()]
    return min(releases, key=_numbers)


class Verdict(Enum):
    """What installing a requirement does to the runtime."""

    FINE = "fine"
    CONFLICTS = "conflicts"
    """It replaces a package that the runtime contains and was built with by another version."""
    REPLACES = "replaces"
    """It replaces the runtime's own Spark, Delta or Databricks Connect."""


@dataclass(frozen=True)
class Judgement:
    """What one requirement does to a runtime.

    Args:
        requirement: The requirement.
        verdict: What it does.
        reason: Why, as half a sentence for the user; empty if it is fine.
        fix: What to write instead; empty if it is fine.
        shipped: The version that the runtime contains; None if unknown.
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
        runtime: The runtime's key, such as 17.3.x-scala2.13 or serverless-4. If it is None, only those
            requirements are found that replace a part of every runtime.
        python: The Python version on the cluster, such as 3.12; None for the runtime's.
    """
    shipped = _packages(runtime)
    return [
        _judge(each, shipped)
        for each in listing.requirements
        if each.marker is None or marker_applies(each.marker, runtime, python)
    ]


def is_own(name: str) -> bool:
    """Tell whether a distribution would replace the runtime's own Spark, Delta or Databricks Connect."""
    return name in _table()["own"]


def marker_applies(marker: Marker, runtime: str | None, python: str | None = None, extra: str = "") -> bool:
    """Tell whether an environment marker holds on a cluster.

    Args:
        marker: The marker.
        runtime: The runtime's key; None if it is unknown.
        python: The Python version on the cluster, such as 3.12; None for the runtime's, and for this
            machine's if that is unknown.
        extra: The extra that is installed.
    """
    cluster = {
        "extra": extra,
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
    }
    if version := python or _entry(runtime).get("python"):
        cluster |= {"python_version": version, "python_full_version": f"{version}.0"}
    return marker.evaluate(cluster)


def is_known(runtime: str) -> bool:
    """Tell whether the table lists the packages of a runtime."""
    return bool(_packages(runtime))


def ended(runtime: str, today: date) -> date | None:
    """Return the day on which a runtime's support ended; None if it has not ended or is unknown."""
    day = _entry(runtime).get("ends")
    end = date.fromisoformat(day) if day else None
    return end if end and end < today else None


def serverless_versions() -> list[str]:
    """Return the versions of serverless environments in the table, the oldest first."""
    names = (name.partition("serverless-")[2] for name in _table()["runtimes"])
    return sorted(filter(None, names), key=int)


def source(runtime: str) -> str | None:
    """Return the URL where the package versions of a runtime were read."""
    found: str | None = _entry(runtime).get("source")
    return found


@dataclass(frozen=True)
class ConnectClient:
    """The client on this machine.

    Args:
        version: The version of databricks-connect, such as 16.1.7.
        python: The minor version of Python, such as 3.11.
    """

    version: str
    python: str


def check_connect_to_cluster(client: ConnectClient, spark_version: str) -> str | None:
    """Check a client against a cluster; return a warning if only user-defined functions will fail.

    Args:
        client: The client on this machine.
        spark_version: The key of the cluster's runtime, such as 17.3.x-scala2.13.

    Raises:
        ComputeError: The client is newer than the runtime; the hint has the version to install.
    """
    runtime = find(spark_version)
    if runtime is None:
        return None  # a custom image: Databricks itself checks the client
    python = runtime.python
    if runtime.is_older_than(client.version):
        with_python = f" in an environment with Python {python}" if python and python != client.python else ""
        raise ComputeError(
            f"databricks-connect {client.version} is newer than the cluster's Databricks Runtime "
            f"{runtime.release}, which does not work.",
            hint=f"Install the matching version{with_python}: "
            f'pip install "databricks-connect=={runtime.release}.*".',
        )
    if python and python != client.python:
        return (
            f"Python is {client.python} here and {python} on Databricks Runtime {runtime.release}: "
            f"user-defined functions will fail. They need an environment with Python {python} and "
            f'pip install "databricks-connect=={runtime.release}.*".'
        )
    return None


def check_connect_to_serverless(client: ConnectClient) -> None:
    """Check a client against serverless compute.

    Raises:
        ComputeError: It is too old; the hint has the version to install.
    """
    oldest: str = _table()["oldest_connect_for_serverless"]
    if _numbers(client.version) < _numbers(oldest):
        raise ComputeError(
            f"databricks-connect {client.version} is too old for serverless compute.",
            hint=f'Install a newer one: pip install "databricks-connect>={oldest}".',
        )


def _judge(requirement: Requirement, shipped: dict[str, str]) -> Judgement:
    name, text = requirement.name, requirement.text
    if why := _table()["own"].get(name):
        fix = f"Remove {name} from {requirement.file}"
        return Judgement(requirement, Verdict.REPLACES, f"{text}: {why}", fix)
    extras = _table()["extras"].get(name, {})
    if bringing := sorted(requirement.extras & extras.keys()):
        brought = " and ".join(sorted({extras[extra] for extra in bringing}))
        reason = f"{text} installs {brought}, which is part of the runtime"
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


def _packages(runtime: str | None) -> dict[str, str]:
    """Return the versions that a runtime contains; only exact releases are listed, and none for ML."""
    key = runtime or ""
    if "-ml-" in key or _is_sandbox(key):
        return {}
    packages: dict[str, str] = _table()["runtimes"].get(_release(key) or key, {}).get("packages", {})
    return packages


def _entry(runtime: str | None) -> dict[str, Any]:
    """Return the table's entry for a runtime: that of its release, or of its major version."""
    key = runtime or ""
    if _is_sandbox(key):
        return {}
    release = _release(key) or key  # serverless-4 is listed under its own key
    entries: dict[str, dict[str, Any]] = _table()["runtimes"]
    return entries.get(release) or entries.get(release.partition(".")[0], {})


def _is_sandbox(key: str) -> bool:
    """Tell whether a key is of the sandbox's own runtime: it names the installed Spark and Python."""
    return "-sandbox-" in key


def _release(key: str) -> str | None:
    found = _KEY.match(key)
    if found is None:
        return None
    return found[1] if found[2] == "x" else f"{found[1]}.{found[2]}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("runtime_packages.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
