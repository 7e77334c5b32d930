"""The Spark session, local, on a cluster or by Databricks Connect, and the Java that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def __getattr__(name: str) -> Callable[..., object]:
    """Support `from kedro_databricks_hybrid.spark import start`, which the starter's projects use.

    The import is lazy because the sandbox imports `spark.java` and must not import the client.
    """
    if name == "start":
        from kedro_databricks_hybrid.spark.session import start

        return start
    raise AttributeError(name)
