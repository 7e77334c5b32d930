"""The settings of Spark on the sandbox's clusters.

Spark reads these files from SPARK_CONF_DIR, so that every `SparkSession.builder.getOrCreate()` has the same.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOCAL_DISK = "/local_disk0"
"""The scratch disk of a cluster."""

DBFS = f"{LOCAL_DISK}/.dbfs"
"""Where programs on a cluster find dbfs:/; Python code finds it at /dbfs, if the access mode mounts it."""

_SCRATCH = f"{LOCAL_DISK}/tmp"  # noqa: S108 - a folder of this context alone
_OVERLOADED = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
_LOCAL = "org.apache.hadoop.fs.LocalFileSystem"
_MOUNTS = "spark.hadoop.fs.viewfs.mounttable.default"

_DEFAULTS = {
    "spark.master": "local[2]",
    "spark.app.name": "Databricks Shell",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={_SCRATCH} -XX:-UsePerfData",
    "spark.local.dir": _SCRATCH,
    "spark.sql.warehouse.dir": f"file:{LOCAL_DISK}/warehouse",
    "spark.sql.shuffle.partitions": "8",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # A reused worker keeps the modules of the run before.
    "spark.python.worker.reuse": "false",
    # Paths without a scheme are in dbfs:/, except /Volumes and /Workspace.
    "spark.hadoop.fs.defaultFS": "dbfs:///",
    "spark.hadoop.fs.dbfs.impl": _OVERLOADED,
    "spark.hadoop.fs.AbstractFileSystem.dbfs.impl": "org.apache.hadoop.fs.viewfs.ViewFs",
    "spark.hadoop.fs.viewfs.overload.scheme.target.file.impl": _LOCAL,
    "spark.hadoop.fs.viewfs.overload.scheme.target.dbfs.impl": _LOCAL,
    f"{_MOUNTS}.linkFallback": f"file://{DBFS}",
    f"{_MOUNTS}.link./Volumes": "file:///Volumes",
    f"{_MOUNTS}.link./Workspace": "file:///Workspace",
}

_LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
"""


def write(folder: Path) -> None:
    """Write the configuration files of Spark."""
    settings = {**_DEFAULTS, "spark.sql.streaming.checkpointFileManagerClass": _checkpoint_class()}
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    (folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")


def _checkpoint_class() -> str:
    """Return the class that writes checkpoints through the file system above; Spark 4.1 moved it."""
    try:
        major, minor = (int(part) for part in metadata.version("pyspark").split(".")[:2])
    except metadata.PackageNotFoundError:
        major, minor = 4, 1
    package = "streaming.checkpointing" if (major, minor) >= (4, 1) else "streaming"
    return f"org.apache.spark.sql.execution.{package}.FileSystemBasedCheckpointFileManager"
