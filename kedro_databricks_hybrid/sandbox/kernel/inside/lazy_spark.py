"""`spark`, `sc` and `sqlContext` in a kernel, started by the first cell that uses one of them."""

from __future__ import annotations

import ast
import itertools
import os
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult
    from pyspark import SparkContext

IS_CONNECT = "SPARK_REMOTE" in os.environ
"""Whether Spark is behind Spark Connect, as on serverless compute."""

NAMES = frozenset({"spark"} if IS_CONNECT else {"spark", "sc", "sqlContext"})

_RUNS_CODE = frozenset({"exec", "eval"})  # it may use one of them, unseen
_GIVES_NAMES = frozenset({"globals", "locals", "vars", "user_ns"})  # by a text, then
_MAGIC = frozenset({"run_line_magic", "run_cell_magic"})  # what they are given is text until it runs
_WORD = re.compile(r"\b(spark|sc|sqlContext|sql)\b")
_given: dict[str, Any] = {}
_numbers = itertools.count(1)
_START = f"__import__({__name__!r}, fromlist=['start']).start()"


class SparkOnDemand(ast.NodeTransformer):
    """Puts the start of Spark before a cell that needs it, so that a failure is that cell's error."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Return the cell as it is to be run."""
        if needs_spark(node):
            node.body[:0] = ast.parse(_START).body
        return node


def needs_spark(cell: ast.Module) -> bool:
    """Whether a cell uses one of the names, or may do so in a way that cannot be seen."""
    nodes = list(ast.walk(cell))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} & (_GIVES_NAMES | _MAGIC)
    if used & (NAMES | _RUNS_CODE):
        return True
    texts = (str(node.value) for node in nodes if isinstance(node, ast.Constant))
    return bool(used & (_GIVES_NAMES | _MAGIC)) and any(_WORD.search(text) for text in texts)


def start() -> None:
    """Give the notebook its Spark session; a name that the notebook has defined itself stays."""
    from IPython import get_ipython
    from pyspark.sql import SparkSession

    if "spark" in _given and not _is_stopped(_given["spark"]):
        return
    session = SparkSession.builder.getOrCreate()
    fresh: dict[str, Any] = {"spark": session}
    if not IS_CONNECT:
        fresh |= {"sc": session.sparkContext, "sqlContext": session}
    names = get_ipython().user_ns
    for name, value in fresh.items():
        if name not in names or names[name] is _given.get(name):
            names[name] = value
    _given.update(fresh)
    name_jobs()


def name_jobs(_cell: ExecutionInfo | None = None) -> None:
    """Put the jobs that Spark is asked for from now on into a group of their own, a cell's."""
    context = _running_context()
    if context is not None:
        _given["group"] = f"cell-{next(_numbers)}"
        context.setJobGroup(_given["group"], "", interruptOnCancel=True)


def stop_jobs_if_cancelled(result: ExecutionResult) -> None:
    """End what Spark still does for a cell that was interrupted, and jobs that it is about to begin."""
    context = _running_context()
    if context is not None and isinstance(result.error_in_exec, KeyboardInterrupt):
        if _knows_future_jobs(context):
            context._jsc.sc().cancelJobGroupAndFutureJobs(_given["group"])  # noqa: SLF001 - not PySpark's
        context.cancelAllJobs()


def _knows_future_jobs(context: SparkContext) -> bool:
    return int(context.version.split(".")[0]) >= 4 and "group" in _given  # Spark 4


def _running_context() -> SparkContext | None:
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    return SparkContext._active_spark_context  # noqa: SLF001 - PySpark has no other way to ask


def _is_stopped(spark: Any) -> bool:  # noqa: ANN401 - a session of either kind
    return bool(spark.is_stopped) if IS_CONNECT else spark.sparkContext._jsc is None  # noqa: SLF001 - PySpark has no other way to ask
