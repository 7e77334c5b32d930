"""`kedro databricks run --connect`: the nodes here, Spark and the data on Databricks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run

from kedro_databricks_hybrid import connect, spark
from kedro_databricks_hybrid.errors import ComputeError

if TYPE_CHECKING:
    from collections.abc import Mapping


def refuse_options(given: Mapping[str, object]) -> None:
    """Refuse options that are for runs on the cluster alone.

    Args:
        given: Such options and their values.
    """
    without_use = sorted(f"--{name}" for name, value in given.items() if value)
    if without_use:
        raise click.UsageError(
            f"--connect runs the nodes here, where {', '.join(without_use)} means nothing."
        )


def run(ctx: click.Context, wish: connect.Wish, options: dict[str, Any]) -> None:
    """Run the pipeline in this process, by Kedro's own command; our hooks make the session.

    Raises:
        ComputeError: databricks-connect is not installed.
    """
    if spark.place() == "local":
        raise ComputeError(
            "databricks-connect is not in this environment.",
            hint="It replaces pyspark, so make an environment of its own for it: "
            'pip install "kedro-databricks-hybrid[connect]".',
        )
    connect.wish(wish)
    ctx.invoke(kedro_run, **options)
