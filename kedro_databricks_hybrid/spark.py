"""The Spark session of a run: made here, or the one that the cluster already has."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from kedro_databricks_hybrid import java

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

# Tells a session made here from one that the project made for itself.
_OURS = "spark.kedro_databricks_hybrid.session"
_QUIET = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}


def place() -> Literal["cluster", "connect", "local"]:
    """Say where Spark runs for this process: on its cluster, behind Databricks Connect, or here."""
    if on_cluster():
        return "cluster"
    return "connect" if _has_connect() else "local"


def on_cluster() -> bool:
    """Say whether this process is a Databricks driver (or a kernel of the local workspace)."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def start(conf: Mapping[str, Any]) -> SparkSession:
    """Return the session of this process with `conf` in force as far as it can be.

    A session that the project made for itself is returned untouched. On a cluster the runtime's own
    is used. What a running session cannot change any more is named in one warning.

    Args:
        conf: Spark's settings by name, as spark.yml gives them.
    """
    from pyspark.sql import SparkSession

    wanted = {name: _text(value) for name, value in conf.items()}
    if on_cluster():
        session = SparkSession.builder.getOrCreate()
    elif _is_running():
        session = SparkSession.builder.getOrCreate()
        if session.conf.get(_OURS, None) is None:
            return session
    else:
        return _made_here(wanted)
    _apply(session, wanted)
    return session


def is_spark_type(name: str) -> bool:
    """Say whether a catalog entry's `type` names a Spark dataset, by its name alone."""
    package, _, class_name = name.rpartition(".")
    return "spark" in class_name.lower() or "spark" in package.lower().split(".")


def is_spark_class(made: type) -> bool:
    """Say whether a dataset's class, or one that it is made from, reads and writes with Spark."""
    return any(
        is_spark_type(f"{each.__module__}.{each.__qualname__}")
        or each.__module__.startswith("kedro_datasets.databricks.")
        for each in made.__mro__
    )


def _made_here(conf: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    java.ensure(os.environ)
    # Otherwise Python UDFs take the first python3 on PATH, which may lack this environment.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    builder = SparkSession.builder
    for name, value in {**_QUIET, **conf, _OURS: "true"}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _apply(session: SparkSession, conf: Mapping[str, str]) -> None:
    """Set what the session can still change, and warn once about the rest that differs."""
    too_late = []
    for name, value in conf.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
        elif session.conf.get(name, None) != value:
            too_late.append(name)
    if too_late:
        _log.warning(
            "The Spark session was already running, so these settings of spark.yml have no effect: %s. "
            "On Databricks they belong in the cluster's Spark config.",
            ", ".join(sorted(too_late)),
        )


def _is_running() -> bool:
    from pyspark import SparkContext

    return SparkContext._active_spark_context is not None  # noqa: SLF001


def _has_connect() -> bool:
    try:
        return importlib.util.find_spec("databricks.connect") is not None
    except ModuleNotFoundError:  # no package called databricks at all
        return False


def _text(value: object) -> str:
    """Write a value of YAML as Spark does: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
