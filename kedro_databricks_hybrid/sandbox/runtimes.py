"""Databricks runtimes, and the one whose Spark comes nearest to the Spark installed here."""

from __future__ import annotations

from importlib import metadata

# key: (name, the Spark of that runtime); see "Databricks Runtime release notes versions"
RUNTIMES = {
    "13.3.x-scala2.12": ("13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)", (3, 4)),
    "14.3.x-scala2.12": ("14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)", (3, 5)),
    "15.4.x-scala2.12": ("15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)", (3, 5)),
    "16.4.x-scala2.12": ("16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)", (3, 5)),
    "17.3.x-scala2.13": ("17.3 LTS (includes Apache Spark 4.0.0, Scala 2.13)", (4, 0)),
    "18.x-scala2.13": ("18 LTS (includes Apache Spark 4.1.0, Scala 2.13)", (4, 1)),
    "19.x-scala2.13": ("19 (includes Apache Spark 4.2.0, Scala 2.13)", (4, 2)),
}


def nearest_runtime(spark: str | None = None) -> str:
    """Return the newest runtime whose Spark is not newer than `spark`, by default the one installed.

    Without any Spark the newest runtime is returned.
    """
    if spark is None:
        try:
            spark = metadata.version("pyspark")
        except metadata.PackageNotFoundError:
            return list(RUNTIMES)[-1]
    major, minor = (int(part) for part in spark.split(".")[:2])
    fitting = [key for key, (_, version) in RUNTIMES.items() if version <= (major, minor)]
    return fitting[-1] if fitting else next(iter(RUNTIMES))


def runtime_version(key: str) -> str:
    """Return what DATABRICKS_RUNTIME_VERSION says on a cluster of that `spark_version`: 17.3, or 18."""
    return key.partition("-")[0].removesuffix(".x")
