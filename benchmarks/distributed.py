"""Rows per second of the starter's distributed pipeline, compared with one process with two threads.

    python -m benchmarks.distributed [--quick]

Both read the same parquet files, predict with the same classifier (10,000 training rows, four
columns, three neighbours) and return the rows with their predictions. Spark runs on two cores, the
process uses two threads. They alternate; the start of Spark and the first round are not counted.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.results import Row, print_header, print_rows
from kedro_databricks_hybrid.spark.session import start

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = (
    Path(__file__).parents[1] / "starter/{{ cookiecutter.repo_name }}/src/{{ cookiecutter.python_package }}"
)
COLUMNS = [f"column_{number}" for number in range(4)]
PARAMETERS = {"target": "species", "n_neighbors": 3}
TARGET = 0.85


def main() -> int:
    """Print the rows; return 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, and three rounds")
    quick = parser.parse_args().quick
    rows, rounds = (100_000, 3) if quick else (1_000_000, 5)
    package = types.ModuleType("iris_starter")
    package.__path__ = [str(SOURCE)]
    sys.modules["iris_starter"] = package
    random = np.random.default_rng(0)
    train = table(random, 10_000)
    spark = start(
        {
            "spark.master": "local[2]",
            "spark.ui.enabled": False,
            "spark.sql.execution.arrow.maxRecordsPerBatch": 16384,
        }
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            for part in range(8):
                table(random, rows // 8).to_parquet(f"{folder}/{part}.parquet")
            entries = {
                "process": lambda: in_process(train, folder),
                "spark": lambda: in_spark(spark, train, folder),
                "transport": lambda: through_spark(spark, folder),
            }
            seconds = measure(entries, rounds)
    finally:
        spark.stop()
    ratio = seconds["process"] / seconds["spark"]
    speeds = {entry: f"{rows / each:,.0f} rows/s" for entry, each in seconds.items()}
    what = f"{rows:,} x 4 test rows on local[2]"
    row = Row(f"{what}, k=3", "one process", speeds["process"], speeds["spark"], f"{ratio:.2f} of it")
    print_header()
    print_rows(Row(f"{what}, to Python and back unchanged", "", "", speeds["transport"]))
    return 0 if print_rows(row.held_to(f"{TARGET}", met=ratio >= TARGET)) else 1


def table(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Return random rows of features with a target column."""
    features = pd.DataFrame(random.normal(size=(rows, 4)), columns=COLUMNS)
    made: pd.DataFrame = features.assign(species=random.integers(0, 3, rows))
    return made


def measure(entries: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Run the entries alternately and return the median seconds of each."""
    times: dict[str, list[float]] = {entry: [] for entry in entries}
    for _ in range(rounds + 1):
        for entry, run in entries.items():
            started = time.perf_counter()
            run()
            times[entry].append(time.perf_counter() - started)
    return {entry: statistics.median(each[1:]) for entry, each in times.items()}


def in_process(train: pd.DataFrame, folder: str) -> None:
    """Read all rows and predict them in one call."""
    nodes = importlib.import_module("iris_starter.nodes")
    classifier = nodes.Classifier(train[COLUMNS], train[["species"]], 3, workers=2)
    test = pd.read_parquet(folder)
    test["prediction"] = classifier.predict(test[COLUMNS])["species"]


def in_spark(spark: Any, train: pd.DataFrame, folder: str) -> None:  # noqa: ANN401
    """Predict as the pipeline does, and let Spark discard the rows."""
    distributed = importlib.import_module("iris_starter.distributed")
    predictions = distributed.predict_in_batches(train, spark.read.parquet(folder), PARAMETERS)
    predictions.write.format("noop").mode("overwrite").save()


def through_spark(spark: Any, folder: str) -> None:  # noqa: ANN401
    """Do the same without predicting: the time of Spark and of the transfer to Python."""
    rows = spark.read.parquet(folder)
    rows.mapInArrow(lambda batches: batches, rows.schema).write.format("noop").mode("overwrite").save()


if __name__ == "__main__":
    sys.exit(main())
