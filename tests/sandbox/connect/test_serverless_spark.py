"""Spark on serverless compute: a Spark Connect session with the limits of Databricks."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from databricks.sdk.service import compute, jobs

from tests.sandbox.runs import TIMEOUT, finished, output, put_script, script_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes

SCRIPT = """
from pyspark import SparkContext
from pyspark.sql import SparkSession, functions

def tried(work):
    try:
        print(work())
    except BaseException as error:
        print(type(error).__name__, str(error)[:80])

session = SparkSession.builder.config("spark.sql.adaptive.enabled", "false").getOrCreate()
session.conf.set("spark.sql.shuffle.partitions", "3")
numbers = session.range(5)
more = numbers.select(functions.udf(lambda x: x + 1, "long")("id").alias("id"))
tried(lambda: more.agg({"id": "sum"}).first()[0])
tried(lambda: session.conf.get("spark.sql.shuffle.partitions"))
tried(lambda: session.conf.get("spark.sql.adaptive.enabled"))
tried(lambda: numbers.rdd)
tried(lambda: session.sparkContext)
tried(numbers.cache)
tried(lambda: session.conf.set("spark.sql.adaptive.enabled", "false"))
tried(SparkContext.getOrCreate)
tried(lambda: sc)
tried(lambda: spark is session)
"""

OUTPUT = """\
15
3
true
PySparkNotImplementedError [NOT_IMPLEMENTED] Using custom code using PySpark RDDs is not allowed on serverl
PySparkAttributeError [JVM_ATTRIBUTE_NOT_SUPPORTED] Directly accessing the underlying Spark driver JVM
AnalysisException [NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported on serverless com
AnalysisException [CONFIG_NOT_AVAILABLE] Configuration spark.sql.adaptive.enabled is not available
PySparkRuntimeError [CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT] Remote client cannot create a SparkConte
NameError name 'sc' is not defined
True
"""


ENVIRONMENT = jobs.JobEnvironment("default", compute.Environment(environment_version="4"))
TASK = script_task(existing_cluster_id=None, environment_key="default")


def servers() -> list[psutil.Process]:
    """Return the Spark Connect servers among the children of this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("sandbox.connect.program" in word for word in process.cmdline()):
                found.append(process)
    return found


def test_spark_on_serverless_compute(start_sandbox: Callable[..., Running]) -> None:
    """Spark computes, accepts the allowed settings, and refuses the others with Databricks' messages."""
    workspace = start_sandbox(like="free-edition").workspace()
    put_script(workspace, SCRIPT)
    result = output(workspace, finished(workspace, TASK, environments=[ENVIRONMENT]))
    assert (result.error, result.logs) == (None, OUTPUT)


def test_a_cancelled_task_leaves_no_spark(start_sandbox: Callable[..., Running]) -> None:
    """Cancelling a task ends its Spark server, also while it is starting."""
    workspace = start_sandbox().workspace()
    put_script(
        workspace, "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().range(1).count()"
    )
    run_id = workspace.jobs.submit(tasks=[TASK], environments=[ENVIRONMENT]).run_id
    deadline = time.monotonic() + 60
    while not (begun := servers()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run = workspace.jobs.cancel_run(run_id).result(timeout=TIMEOUT)
    assert run.state is not None
    assert run.state.result_state is jobs.RunResultState.CANCELED
    psutil.wait_procs(begun, timeout=20)
    assert servers() == []
