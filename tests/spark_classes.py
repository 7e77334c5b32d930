"""Java's archive of the classes that Spark loads, which halves the processor time of a start of Spark.

`make test` first writes it into the environment with `python -m tests.spark_classes`. Java ignores an archive
that was written by another Java or from other jars.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.spark import session as spark_session

ARCHIVE = Path(sys.prefix, ".spark-classes.jsa")

# The optimizing compiler would take half of the time of a JVM that runs for seconds.
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_UNVERIFIED = "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
_FEW_COLLECTIONS = "-XX:MetaspaceSize=256m"
_SILENT = "-Xlog:disable -Xlog:all=error:stderr"  # Java warns about an archive that it ignores
_CONNECT = "org.apache.spark.sql.connect.SparkConnectPlugin"


def java_options() -> str:
    """Return the options for a JVM that runs for seconds, in the form of SPARK_SUBMIT_OPTS."""
    options = f"{_SHORT_LIVED} {_UNVERIFIED} {_FEW_COLLECTIONS}"
    if not ARCHIVE.is_file():
        return options
    return f'{options} {_SILENT} "-XX:SharedArchiveFile={ARCHIVE}" -cp "{_class_path()}"'


def _class_path() -> str:
    """Return Spark's jars and after them the settings of a kernel; Java archives no class after a folder."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    return f"{Path(found.origin).parent}/jars/*{os.pathsep}/databricks/spark/conf/"


def main() -> None:
    """Write the archive of the classes that a session and a Spark Connect server load."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        draft = Path(folder) / ARCHIVE.name
        options = f'{_SHORT_LIVED} "-XX:ArchiveClassesAtExit={draft}" {_SILENT} -cp "{_class_path()}"'
        environ = {
            **os.environ,
            "SPARK_SUBMIT_OPTS": options,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYTHONPATH": str(Path.cwd()),
        }
        command = [sys.executable, "-c", f"from {__spec__.name} import use_spark; use_spark()"]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not draft.is_file():
            sys.stderr.write(
                f"This Java archives no classes, so the tests take longer: {done.stdout}{done.stderr}\n"
            )
            return
        draft.replace(ARCHIVE)


def use_spark() -> None:
    """Load the classes: start Spark, compute, read and write files and tables; return when Java has ended."""
    from pyspark.sql import functions

    settings = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.plugins": _CONNECT,
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
    }
    spark = spark_session.start(settings)
    rows = spark.createDataFrame([(1, "a"), (2, "b")], "number long, letter string")
    rows.write.csv("csv", header=True)
    spark.read.csv("csv", header=True, inferSchema=True).write.saveAsTable("written")
    double = functions.udf(lambda number: 2 * number, "long")
    spark.table("written").withColumn("double", double("number")).groupBy("letter").sum("double").toPandas()
    spark.sql("select count(*) from written join range(3) on number = id").collect()
    spark.sparkContext.parallelize([1]).map(lambda number: number + 1).collect()
    gateway: Any = spark.sparkContext._gateway  # noqa: SLF001 - PySpark has no other way to end Java
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


if __name__ == "__main__":
    main()
