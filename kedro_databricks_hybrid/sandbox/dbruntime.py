"""The module `dbruntime` of a cluster: how `databricks.sdk.runtime` finds a notebook's names."""

from __future__ import annotations

from typing import Any

_NAMES = ("dbutils", "display", "displayHTML", "spark", "sc", "sqlContext")


class UserNamespaceInitializer:
    """Knows the notebook's names."""

    @classmethod
    def getOrCreate(cls) -> UserNamespaceInitializer:  # noqa: N802 - Databricks' name
        """Return it."""
        return cls()

    def get_namespace_globals(self) -> dict[str, Any]:
        """Return the names that modules may import; starts Spark, as `spark` is among them."""
        from IPython import get_ipython
        from pyspark.sql.functions import udf

        from kedro_databricks_hybrid.sandbox import lazy_spark

        lazy_spark.start()
        names = get_ipython().user_ns
        spark = names["spark"]
        found = {name: names[name] for name in _NAMES if name in names}
        return {**found, "sql": spark.sql, "table": spark.table, "udf": udf}
