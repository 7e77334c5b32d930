"""Databricks runtimes, and the one that the sandbox offers, by the installed Spark and Python."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata

from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.guesses import PYTHON_OF_RUNTIME_19

_KEY = re.compile(r"\d+\.(\d+|x)(\.x)?-[\w.-]+|custom:\S+")


@dataclass(frozen=True)
class Runtime:
    """One runtime: its name, its Spark and its Python, each as major and minor number."""

    name: str
    spark: tuple[int, int]
    python: tuple[int, int]


# See "Databricks Runtime release notes versions".
RUNTIMES = {
    "13.3.x-scala2.12": Runtime("13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)", (3, 4), (3, 10)),
    "14.3.x-scala2.12": Runtime("14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)", (3, 5), (3, 10)),
    "15.4.x-scala2.12": Runtime("15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)", (3, 5), (3, 11)),
    "16.4.x-scala2.12": Runtime("16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)", (3, 5), (3, 12)),
    "17.3.x-scala2.13": Runtime("17.3 LTS (includes Apache Spark 4.0.0, Scala 2.13)", (4, 0), (3, 12)),
    "18.x-scala2.13": Runtime("18 LTS (includes Apache Spark 4.1.0, Scala 2.13)", (4, 1), (3, 12)),
    "19.x-scala2.13": Runtime("19 (includes Apache Spark 4.2.0, Scala 2.13)", (4, 2), PYTHON_OF_RUNTIME_19),
}


def offered(spark: str | None = None, python: str | None = None) -> tuple[str, str]:
    """Return the key and the name of the runtime that notebook processes here have.

    It is one of Databricks' if a runtime has the same Spark and Python. Otherwise the key names both
    versions, after the number of the newest runtime whose Spark is not newer.

    Args:
        spark: The version of Spark, by default the installed one.
        python: The version of Python, by default the running one.
    """
    spark = spark or _installed_spark()
    python = python or platform.python_version()
    here = _minor(spark) if spark else None, _minor(python)
    for key, runtime in RUNTIMES.items():
        if (runtime.spark, runtime.python) == here:
            return key, runtime.name
    older = [key for key, runtime in RUNTIMES.items() if here[0] is None or runtime.spark <= here[0]]
    number = (older[-1] if older else next(iter(RUNTIMES))).partition("-")[0]
    tag = f"spark{'.'.join(map(str, here[0]))}" if here[0] else "no-spark"
    shown = f"Apache Spark {spark}" if spark else "no Spark"
    scala = "2.13" if here[0] is None or here[0] >= (4, 0) else "2.12"
    key = f"{number}-sandbox-{tag}-python{'.'.join(map(str, here[1]))}-scala{scala}"
    return key, f"Sandbox (includes {shown}, Python {python})"


def names() -> dict[str, str]:
    """Return the names of the runtimes with which a cluster can be created, by their keys."""
    return {key: runtime.name for key, runtime in RUNTIMES.items()} | dict([offered()])


def nearest_runtime(spark: str | None = None, python: str | None = None) -> str:
    """Return the key of the runtime that notebook processes here have."""
    return offered(spark, python)[0]


def check(key: str) -> None:
    """Refuse a key that does not have the form of a runtime's key.

    Keys of other runtimes are accepted, so that a project needs no other settings for the sandbox.
    """
    if _KEY.fullmatch(key) is None:
        raise invalid(f"Invalid spark version {key[:100]}.")


def runtime_version(key: str) -> str:
    """Return DATABRICKS_RUNTIME_VERSION for a cluster's `spark_version`, such as 17.3 or 18."""
    return key.partition("-")[0].removesuffix(".x")


def speaks_connect() -> bool:
    """Tell whether the installed PySpark includes a Spark Connect server and its client."""
    spark = _installed_spark()
    return spark is not None and _minor(spark) >= (4, 0)


def _installed_spark() -> str | None:
    try:
        return metadata.version("pyspark")
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
