"""The Spark session of a run: a new local one, or the one that the cluster has."""

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

# Marks sessions that `start` created, to tell them from those that the project created.
_MARK = "spark.kedro_databricks_hybrid.session"
_DRIVER_OPTIONS = "spark.driver.extraJavaOptions"
_ERROR_CHARACTERS = 200  # an error's message may contain a Java stack trace

SparkLocation = Literal["cluster", "connect", "local"]


def spark_location() -> SparkLocation:
    """Return where Spark runs for this process: on its cluster, by Databricks Connect, or locally."""
    if on_cluster():
        return "cluster"
    return "connect" if _has_connect() else "local"


def on_cluster() -> bool:
    """Tell whether this process is a Databricks driver or a kernel of the sandbox."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def start(conf: Mapping[str, Any]) -> SparkSession:
    """Return the Spark session of this process, configured with `conf`.

    A session that the project created is returned unchanged. On a cluster the runtime's session is used.
    Warnings name the settings that a running session can no longer change, or refuses.

    Args:
        conf: Spark's settings by name, as in spark.yml.
    """
    from pyspark.sql import SparkSession

    wanted = {name: _text(value) for name, value in conf.items()}
    if on_cluster():
        session = SparkSession.builder.getOrCreate()
    elif _is_running():
        session = SparkSession.builder.getOrCreate()
        if session.conf.get(_MARK, None) is None:
            return session
    else:
        return _local_session(wanted)
    apply(session, conf)
    return session


def is_spark_type(name: str) -> bool:
    """Tell by its name whether a catalog entry's `type` is a Spark dataset."""
    package, _, class_name = name.rpartition(".")
    return "spark" in class_name.lower() or "spark" in package.lower().split(".")


def is_spark_class(made: type) -> bool:
    """Tell whether a dataset's class or one of its base classes reads and writes with Spark."""
    return any(
        is_spark_type(f"{each.__module__}.{each.__qualname__}")
        or each.__module__.startswith("kedro_datasets.databricks.")
        for each in made.__mro__
    )


def _local_session(conf: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    ensure_java(os.environ)
    # Otherwise Python UDFs use the first python3 on PATH, which may not have this environment's packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    if sys.stderr.isatty():
        print("Starting Spark ...", file=sys.stderr)  # noqa: T201 - Kedro's log shows only its own lines
    builder = SparkSession.builder
    for name, value in {**conf, **_quiet(conf), _MARK: "true"}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _quiet(conf: Mapping[str, str]) -> dict[str, str]:
    """Return settings that keep Spark from writing into Kedro's log, unless the user configured that."""
    quiet = {"spark.ui.showConsoleProgress": conf.get("spark.ui.showConsoleProgress", "false")}
    options = conf.get(_DRIVER_OPTIONS, "")
    if "log4j" not in options and "SPARK_CONF_DIR" not in os.environ:
        file = Path(__file__).with_name("log4j2.properties").as_uri()
        quiet[_DRIVER_OPTIONS] = f"{options} -Dlog4j2.configurationFile={file}".strip()
    return quiet


def apply(session: SparkSession, conf: Mapping[str, Any]) -> None:
    """Apply settings that a session can still change, and warn about the others that differ.

    Args:
        session: A session of Spark, or of Spark Connect, which supports fewer settings.
        conf: Spark's settings by name, as in spark.yml.
    """
    too_late, refused = [], {}
    for name, value in conf.items():
        wanted = _text(value)
        try:
            if session.conf.isModifiable(name):
                session.conf.set(name, wanted)
            elif not _is_in_force(session.conf.get(name, None), wanted, name):
                too_late.append(name)
        except Exception as error:  # noqa: BLE001 - of Py4J, Spark or gRPC, depending on the session
            refused[name] = " ".join(str(error).split())
    for name, reason in sorted(refused.items()):
        _log.warning(
            "Spark refuses the setting %s of spark.yml, so it has no effect: %s",
            name,
            reason[:_ERROR_CHARACTERS],
        )
    if too_late:
        _log.warning(
            "The Spark session was already running, so these settings of spark.yml have no effect: %s. "
            "On Databricks, set them in the cluster's Spark config.",
            ", ".join(sorted(too_late)),
        )


def _is_in_force(current: str | None, wanted: str, name: str) -> bool:
    # Spark and `_quiet` add options to these.
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
    """Return a YAML value in Spark's notation: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
