"""The nodes of the distributed pipeline: predictions by Spark, for test sets of any size."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure
from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql.types import LongType, StructType

from . import nodes, reporting

log = logging.getLogger(__name__)


def predict_in_batches(
    train: pd.DataFrame, test: DataFrame, parameters: dict[str, Any]
) -> DataFrame:
    """Predict the target of every test row where Spark holds the row.

    The fitted classifier goes to each task with the function that Spark maps over the rows: from
    1 MB on Spark broadcasts it, and unlike a broadcast variable of one's own it also works with
    Databricks Connect and on serverless compute.

    Args:
        train: Training rows, features and the target.
        test: Test rows with the same columns.
        parameters: `target` and `n_neighbors`, see parameters.yml.

    Returns:
        The test rows with the column `prediction`. Spark computes it when it is saved.
    """
    target = parameters["target"]
    features = [name for name in train.columns if name != target]
    # One thread: the tasks of Spark already keep every core busy.
    classifier = nodes.Classifier(
        train[features], train[[target]], parameters["n_neighbors"], workers=1
    )

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            prediction = classifier.predict(batch.select(features).to_pandas())
            columns = [*batch.columns, pa.array(prediction[target].to_numpy(np.int64))]
            yield pa.RecordBatch.from_arrays(columns, [*batch.schema.names, "prediction"])

    # The executors have not installed this project, so its code must travel with the function.
    cloudpickle.register_pickle_by_value(  # type: ignore[no-untyped-call]
        sys.modules[nodes.__package__]
    )
    schema = StructType([*test.schema.fields]).add("prediction", LongType())
    return test.mapInArrow(predict, schema)


def report_distributed(
    predictions: DataFrame, parameters: dict[str, Any]
) -> tuple[dict[str, Any], Figure]:
    """Compare the predictions with the truth, and log the accuracy.

    Spark counts; only one number for each pair of classes comes here.

    Args:
        predictions: Rows with the target and the column `prediction`.
        parameters: `target` and `classes`, see parameters.yml.

    Returns:
        The same as nodes.report_accuracy.
    """
    classes = parameters["classes"]
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for actual, predicted, count in (
        predictions.groupBy(parameters["target"], "prediction").count().collect()
    ):
        confusion[actual, predicted] = count
    metrics = reporting.summarise(confusion, classes)
    log.info("Model has accuracy of %.3f on test data.", metrics["accuracy"])
    return metrics, reporting.draw(confusion, classes)
