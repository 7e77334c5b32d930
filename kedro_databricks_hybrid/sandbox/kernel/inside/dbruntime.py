"""The module `dbruntime` of a cluster, where `databricks.sdk.runtime` finds a notebook's names and login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import lazy_spark
from .notebook_context import get_context

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = ("dbutils", "display", "displayHTML")


class OnDemand:
    """A proxy of one of the notebook's names that need Spark; its first use starts Spark.

    Importing `databricks.sdk.runtime`, which every login in a notebook does, reads all of these names.
    """

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    @property
    def __class__(self) -> type:
        """Return the class of the real object, for isinstance."""
        return type(_with_spark(object.__getattribute__(self, "_name")))

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError(f"__class__ cannot become {value}")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever Spark has
        return getattr(_with_spark(object.__getattribute__(self, "_name")), name)


class UserNamespaceInitializer:
    """Gives access to the notebook's names."""

    @classmethod
    def getOrCreate(cls) -> UserNamespaceInitializer:  # noqa: N802 - Databricks' name
        """Return an instance."""
        return cls()

    def get_namespace_globals(self) -> dict[str, Any]:
        """Return the names that modules may import, with their values."""
        from IPython import get_ipython
        from pyspark.sql.functions import udf

        names = get_ipython().user_ns
        found = {name: names[name] for name in _NAMES if name in names}
        on_demand = {name: names.get(name, OnDemand(name)) for name in lazy_spark.NAMES}
        return {**found, **on_demand, "sql": _sql, "table": _table, "udf": udf}


def init_runtime_native_auth() -> tuple[str, Callable[[], dict[str, str]]]:
    """Return the workspace's address, and a function that returns the headers of this notebook's user."""
    return get_context().apiUrl, lambda: {"Authorization": f"Bearer {get_context().apiToken}"}


def _with_spark(name: str) -> Any:  # noqa: ANN401 - a session, a context
    from IPython import get_ipython

    lazy_spark.start()
    return get_ipython().user_ns[name]


def _sql(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - Spark's own
    return _with_spark("spark").sql(*arguments, **named)


def _table(name: str) -> Any:  # noqa: ANN401 - Spark's own
    return _with_spark("spark").table(name)
