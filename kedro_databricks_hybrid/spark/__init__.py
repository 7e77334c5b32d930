"""The Spark session: on this machine, on a cluster, or by Databricks Connect; and the Java that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def __getattr__(name: str) -> Callable[..., object]:
    """Keep `from kedro_databricks_hybrid.spark import start`, which projects made from the starter use.

    Imported only then: the sandbox needs `spark.java` and nothing else of the client.
    """
    if name == "start":
        from kedro_databricks_hybrid.spark.session import start

        return start
    raise AttributeError(name)
