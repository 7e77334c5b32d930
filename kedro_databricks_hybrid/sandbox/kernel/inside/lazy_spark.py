"""`spark`, `sc` and `sqlContext` of a notebook: the first cell that uses one of them starts Spark."""

from __future__ import annotations

import ast
import itertools
import os
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult
    from pyspark import SparkContext

IS_CONNECT = "SPARK_REMOTE" in os.environ
"""Whether sessions use Spark Connect, as on serverless compute."""

NAMES = frozenset({"spark"} if IS_CONNECT else {"spark", "sc", "sqlContext"})

_RUNS_CODE = frozenset({"exec", "eval"})  # the code may use one of them
_LISTS_NAMES = frozenset({"globals", "locals", "vars", "user_ns"})  # by a string
_MAGIC = frozenset({"run_line_magic", "run_cell_magic"})  # with code in a string
_WORD = re.compile(r"\b(spark|sc|sqlContext|sql)\b")
_defined: dict[str, Any] = {}
_numbers = itertools.count(1)
_START = f"__import__({__name__!r}, fromlist=['start']).start()"


class SparkOnDemand(ast.NodeTransformer):
    """Starts Spark at the top of a cell that needs it, so that a failure is an error of that cell."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Return the cell, with the start of Spark if it needs it."""
        if needs_spark(node):
            node.body[:0] = ast.parse(_START).body
        return node


def needs_spark(cell: ast.Module) -> bool:
    """Whether a cell uses one of the names, or may use one through code in a string."""
    nodes = list(ast.walk(cell))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} & (_LISTS_NAMES | _MAGIC)
    if used & (NAMES | _RUNS_CODE):
        return True
    texts = (str(node.value) for node in nodes if isinstance(node, ast.Constant))
    return bool(used & (_LISTS_NAMES | _MAGIC)) and any(_WORD.search(text) for text in texts)


def start() -> None:
    """Define the names in the notebook, except those that the notebook has assigned itself."""
    from IPython import get_ipython
    from pyspark.sql import SparkSession

    if "spark" in _defined and not _is_stopped(_defined["spark"]):
        return
    on_interrupt = signal.getsignal(signal.SIGINT)
    session = SparkSession.builder.getOrCreate()
    # PySpark's own handler asks on the connection of the interrupted call, so it waits for its end.
    signal.signal(signal.SIGINT, on_interrupt)
    fresh: dict[str, Any] = {"spark": session}
    if not IS_CONNECT:
        fresh |= {"sc": session.sparkContext, "sqlContext": session}
    names = get_ipython().user_ns
    for name, value in fresh.items():
        if name not in names or names[name] is _defined.get(name):
            names[name] = value
    _defined.update(fresh)
    name_jobs()


def name_jobs(_cell: ExecutionInfo | None = None) -> None:
    """Put the Spark jobs that start from now on into a job group for this cell."""
    context = _running_context()
    if context is not None:
        _defined["group"] = f"cell-{next(_numbers)}"
        context.setJobGroup(_defined["group"], "", interruptOnCancel=True)


def stop_jobs_if_cancelled(result: ExecutionResult) -> None:
    """Cancel the Spark jobs of an interrupted cell, also those that have not started.

    On this thread's connection Java answers nothing until the job has ended, and then it answers the
    interrupted call. So another thread cancels the jobs, and this thread gets a new connection.
    """
    context = _running_context()
    if context is not None and isinstance(result.error_in_exec, KeyboardInterrupt):
        gateway: Any = context._gateway  # noqa: SLF001 - PySpark has no public one
        connection = gateway._gateway_client.get_thread_connection()  # noqa: SLF001 - the same
        asking = threading.Thread(target=_stop_jobs, args=(context,))
        asking.start()
        try:
            asking.join()
        finally:
            if connection is not None:
                connection.close()


def _stop_jobs(context: SparkContext) -> None:
    if _knows_future_jobs(context):
        context._jsc.sc().cancelJobGroupAndFutureJobs(_defined["group"])  # noqa: SLF001 - not PySpark's
    context.cancelAllJobs()


def _knows_future_jobs(context: SparkContext) -> bool:
    return int(context.version.split(".")[0]) >= 4 and "group" in _defined  # Spark 4


def _running_context() -> SparkContext | None:
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    return SparkContext._active_spark_context  # noqa: SLF001 - PySpark has no public one


def _is_stopped(spark: Any) -> bool:  # noqa: ANN401 - a session of either kind
    return bool(spark.is_stopped) if IS_CONNECT else spark.sparkContext._jsc is None  # noqa: SLF001 - PySpark has no public one
