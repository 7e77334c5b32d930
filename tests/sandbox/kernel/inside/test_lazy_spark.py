"""Which cells start Spark."""

from __future__ import annotations

import ast

import pytest

from kedro_databricks_hybrid.sandbox.kernel.inside.lazy_spark import needs_spark


@pytest.mark.parametrize(
    "cell",
    [
        "spark.range(3)",
        "def f():\n    return sc.parallelize([1])",
        "print(f'{spark.version}')",
        "exec(open('job.py').read())",
        "globals()['spark']",
        "get_ipython().user_ns.get('spark')",
        "get_ipython().run_line_magic('timeit', 'spark.range(3)')",
        "get_ipython().run_cell_magic('sql', '', 'select 1')",
        "spark = spark.newSession()",
    ],
)
def test_a_use_starts_spark(cell: str) -> None:
    """A cell that reads a name, or may read one through code in a string, needs Spark."""
    assert needs_spark(ast.parse(cell))


@pytest.mark.parametrize(
    "cell",
    [
        "import pyspark",
        "from pyspark.sql import SparkSession\nspark = 1",
        "# spark\nprint('spark and sc')",
        "job.spark",
        "run(spark=None)",
        "globals()['x']",
        "get_ipython().run_line_magic('pip', 'install pyspark-things')",
        "get_ipython().run_line_magic('reload_kedro', '/Workspace/Repos/me/project --env=databricks')",
    ],
)
def test_a_mention_does_not(cell: str) -> None:
    """Strings, assignments and attributes with those names do not need it."""
    assert not needs_spark(ast.parse(cell))
