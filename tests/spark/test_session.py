"""The Spark session locally and on a cluster; each test uses a new process, which can start one JVM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from kedro.io import MemoryDataset
from kedro_datasets.pandas import CSVDataset

from kedro_databricks_hybrid.spark import session as spark_session

pytestmark = pytest.mark.processes

_PRELUDE = """\
import json, logging, os, sys, threading
from kedro_databricks_hybrid.spark import session as spark
warnings = []
class Keep(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())
logging.getLogger("kedro_databricks_hybrid").addHandler(Keep())
seen = {}
"""
_POSTLUDE = """
print(json.dumps({"warnings": warnings, **seen}))
"""


def in_a_process(script: str, **environ: str) -> tuple[dict[str, Any], str]:
    """Run a script in a new process; return the values that it collected, and its stderr."""
    clean = {name: value for name, value in os.environ.items() if name != "DATABRICKS_RUNTIME_VERSION"}
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + script + _POSTLUDE],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_local_session_gets_every_setting_and_keeps_quiet() -> None:
    """All of spark.yml applies and nothing is printed; a later run changes what can be changed."""
    seen, stderr = in_a_process(
        """
conf = {"spark.master": "local[1]", "spark.driver.maxResultSize": "3g", "spark.sql.shuffle.partitions": 7,
        "spark.sql.ansi.enabled": True, "spark.driver.extraJavaOptions": "-Dshop=tiny",
        "spark.ui.enabled": False}
first = spark.start(conf)
context = first.sparkContext
seen["static"] = context.getConf().get("spark.driver.maxResultSize")
seen["partitions"] = first.conf.get("spark.sql.shuffle.partitions")
seen["ansi"] = first.conf.get("spark.sql.ansi.enabled")
seen["option"] = context._jvm.java.lang.System.getProperty("shop")
seen["udf"] = context.parallelize([1]).map(lambda _: __import__("sys").executable).first()
seen["quiet so far"] = list(warnings)
second = []
later = {**conf, "spark.driver.maxResultSize": "4g", "spark.sql.shuffle.partitions": 9}
thread = threading.Thread(target=lambda: second.append(spark.start(later)))
thread.start(); thread.join()
seen["same"] = second[0] is first
seen["partitions later"] = first.conf.get("spark.sql.shuffle.partitions")
first.stop()
third = spark.start(later)
seen["static after a stop"] = third.sparkContext.getConf().get("spark.driver.maxResultSize")
third.stop()
"""
    )
    assert seen["static"] == "3g"
    assert (seen["partitions"], seen["ansi"], seen["option"]) == ("7", "true", "tiny")
    assert seen["udf"] == sys.executable
    assert seen["quiet so far"] == []
    assert (seen["same"], seen["partitions later"]) == (True, "9")
    assert seen["static after a stop"] == "4g"
    (warning,) = seen["warnings"]
    assert "no effect: spark.driver.maxResultSize." in warning
    said = [line for line in stderr.splitlines() if "incubator modules" not in line]
    assert said == []


def test_a_session_of_the_projects_own_wins() -> None:
    """A session that the project created is used unchanged."""
    seen, _ = in_a_process(
        """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]").appName("own")
own = builder.config("spark.sql.shuffle.partitions", 3).getOrCreate()
got = spark.start({"spark.app.name": "ours", "spark.sql.shuffle.partitions": "9"})
seen["same"] = got is own
seen["conf"] = [got.conf.get("spark.app.name"), got.conf.get("spark.sql.shuffle.partitions")]
own.stop()
"""
    )
    assert seen == {"warnings": [], "same": True, "conf": ["own", "3"]}


def test_the_clusters_session_is_used_without_its_context() -> None:
    """On a cluster its session is used without sparkContext; settings without effect are named."""
    seen, _ = in_a_process(
        """
from pyspark.sql import SparkSession
runtime = SparkSession.builder.master("local[1]").appName("Databricks Shell").getOrCreate()
os.environ["DATABRICKS_RUNTIME_VERSION"] = "15.4"
def refuse(self):
    raise AssertionError("sparkContext was touched")
context = SparkSession.sparkContext
SparkSession.sparkContext = property(refuse)
got = spark.start({"spark.master": "local[1]", "spark.executor.memory": "9g", "spark.scheduler.mode": "FAIR",
                   "spark.sql.ansi.enabled": "perhaps", "spark.sql.shuffle.partitions": 5})
seen["same"] = got is runtime
seen["partitions"] = got.conf.get("spark.sql.shuffle.partitions")
SparkSession.sparkContext = context
got.stop()
"""
    )
    assert (seen["same"], seen["partitions"]) == (True, "5")
    refusal, warning = seen["warnings"]
    assert "refuses the setting spark.sql.ansi.enabled of spark.yml" in refusal
    assert "perhaps" in refusal
    assert "no effect: spark.executor.memory, spark.scheduler.mode." in warning


@pytest.mark.parametrize(
    ("name", "is_spark"),
    [
        ("spark.SparkDataset", True),
        ("spark.DeltaTableDataset", True),
        ("kedro_datasets.spark.SparkJDBCDataset", True),
        ("my_shop.io.SparkTable", True),
        ("pandas.CSVDataset", False),
        ("snowflake.SnowparkTableDataset", False),
        ("sparkling.io.WineDataset", False),
        ("MemoryDataset", False),
    ],
)
def test_a_type_tells_whether_it_is_spark(name: str, is_spark: bool) -> None:
    """The type name of a dataset shows whether it needs Spark, without an import."""
    assert spark_session.is_spark_type(name) is is_spark


def test_a_class_tells_whether_it_is_spark() -> None:
    """A dataset class that inherits from a Spark dataset needs Spark, whatever its name."""
    base = type("SparkDatasetV2", (MemoryDataset,), {"__module__": "kedro_datasets.spark.spark_dataset_v2"})
    assert spark_session.is_spark_class(base)
    assert spark_session.is_spark_class(type("Shop", (base,), {"__module__": "my_shop.io"}))
    table = type("ManagedTableDataset", (), {"__module__": "kedro_datasets.databricks.managed_table_dataset"})
    assert spark_session.is_spark_class(table)
    assert not spark_session.is_spark_class(MemoryDataset)
    assert not spark_session.is_spark_class(CSVDataset)


def test_the_place_is_the_cluster_where_the_runtime_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABRICKS_RUNTIME_VERSION, which every driver has, makes the location a cluster."""
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    assert spark_session.spark_location() == "local"
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    assert spark_session.spark_location() == "cluster"


def test_the_place_is_here_where_nothing_of_databricks_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any `databricks` package the location is local."""
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setitem(sys.modules, "databricks", None)
    assert spark_session.spark_location() == "local"


def test_who_configures_the_log_of_spark_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log configuration by Java option or SPARK_CONF_DIR is kept; ours is not added."""
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    name = "spark.driver.extraJavaOptions"
    assert "-Dshop=tiny -Dlog4j2.configurationFile=" in spark_session._quiet({name: "-Dshop=tiny"})[name]  # noqa: SLF001
    theirs = {name: "-Dlog4j2.configurationFile=mine.properties", "spark.ui.showConsoleProgress": "true"}
    assert spark_session._quiet(theirs) == {"spark.ui.showConsoleProgress": "true"}  # noqa: SLF001
    monkeypatch.setenv("SPARK_CONF_DIR", "/etc/spark")
    assert name not in spark_session._quiet({})  # noqa: SLF001
