"""The Spark session of a run: made here, or the one that the cluster already has."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kedro_databricks_hybrid.spark.java import ensure as ensure_java

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

# Tells a session made here from one that the project made for itself.
_OURS = "spark.kedro_databricks_hybrid.session"
_DRIVER_OPTIONS = "spark.driver.extraJavaOptions"
_WORDS = 200  # of an error, which may hold a trace of Java's


Place = Literal["cluster", "connect", "local"]


def place() -> Place:
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
    is used. What a running session cannot change any more, or refuses, is named in a warning.

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
    apply(session, conf)
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

    ensure_java(os.environ)
    # Otherwise Python UDFs take the first python3 on PATH, which may lack this environment.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    builder = SparkSession.builder
    for name, value in {**conf, **_quiet(conf), _OURS: "true"}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _quiet(conf: Mapping[str, str]) -> dict[str, str]:
    """Return what keeps Spark from writing over Kedro's log, unless the user has a say in it."""
    quiet = {"spark.ui.showConsoleProgress": conf.get("spark.ui.showConsoleProgress", "false")}
    options = conf.get(_DRIVER_OPTIONS, "")
    if "log4j" not in options and "SPARK_CONF_DIR" not in os.environ:
        file = Path(__file__).with_name("log4j2.properties").as_uri()
        quiet[_DRIVER_OPTIONS] = f"{options} -Dlog4j2.configurationFile={file}".strip()
    return quiet


def apply(session: SparkSession, conf: Mapping[str, Any]) -> None:
    """Set what a session can still change, and warn about the rest that differs.

    Args:
        session: Spark's own, or one of Spark Connect, which takes fewer settings.
        conf: Spark's settings by name, as spark.yml gives them.
    """
    too_late, refused = [], {}
    for name, value in conf.items():
        wanted = _text(value)
        try:
            if session.conf.isModifiable(name):
                session.conf.set(name, wanted)
            elif not _is_in_force(session.conf.get(name, None), wanted, name):
                too_late.append(name)
        except Exception as error:  # noqa: BLE001 - Py4J's, Spark's or gRPC's, by version and kind of session
            refused[name] = " ".join(str(error).split())
    for name, why in sorted(refused.items()):
        _log.warning("Spark refuses the setting %s of spark.yml, so it has no effect: %s", name, why[:_WORDS])
    if too_late:
        _log.warning(
            "The Spark session was already running, so these settings of spark.yml have no effect: %s. "
            "On Databricks they belong in the cluster's Spark config.",
            ", ".join(sorted(too_late)),
        )


def _is_in_force(current: str | None, wanted: str, name: str) -> bool:
    # Spark, and `_quiet`, add options of their own to these.
    if name.endswith("JavaOptions"):
        return wanted in (current or "")
    return current == wanted


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
