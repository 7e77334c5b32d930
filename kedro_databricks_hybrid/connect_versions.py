"""Which version of databricks-connect fits which runtime, by the rules in connect_versions.json. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.errors import ComputeError

_RUNTIME = re.compile(r"^(\d+)\.(\d+|x)")


@dataclass(frozen=True)
class Client:
    """What is installed here.

    Args:
        version: Of databricks-connect, such as 16.1.7.
        python: Of Python, such as 3.11.
    """

    version: str
    python: str


def check_cluster(client: Client, spark_version: str) -> str | None:
    """Check a client against a cluster; return a remark where it works but for one thing.

    Args:
        client: What is installed here.
        spark_version: The cluster's runtime as the API spells it, such as 17.3.x-scala2.13.

    Raises:
        ComputeError: The client is newer than the runtime; the message has the pin to install.
    """
    found = _RUNTIME.match(spark_version)
    if not found:
        return None  # an image of one's own: Databricks itself will say
    runtime = found[1] if found[2] == "x" else f"{found[1]}.{found[2]}"
    python = _rules()["runtimes"].get(runtime, {}).get("python")
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


def check_serverless(client: Client) -> None:
    """Check a client against serverless compute.

    Raises:
        ComputeError: It is too old; the message has the pin to install.
    """
    oldest = _rules()["serverless"]["oldest_client"]
    if _numbers(client.version) < _numbers(oldest):
        raise ComputeError(
            f"databricks-connect {client.version} is too old for serverless compute.",
            hint=f'Install a newer one: pip install "databricks-connect>={oldest}".',
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


@lru_cache(maxsize=1)
def _rules() -> dict[str, Any]:
    rules: dict[str, Any] = json.loads(
        Path(__file__).with_name("connect_versions.json").read_text(encoding="utf-8")
    )
    return rules
