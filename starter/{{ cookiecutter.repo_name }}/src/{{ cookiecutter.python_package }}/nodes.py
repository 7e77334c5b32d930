"""The nodes of the iris pipeline: split, make_predictions, report_accuracy."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import DataFrame

from . import knn, reporting
from .split import train_and_test

log = logging.getLogger(__name__)


def split(
    data: DataFrame, parameters: dict[str, Any]
) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame]:
    """Split the data into features and targets, to train on and to test on.

    Args:
        data: Rows with features and the target.
        parameters: See parameters.yml.

    Returns:
        X_train, X_test, y_train and y_test. X and y of a pair are in the same order.
    """
    train, test = train_and_test(data, parameters)
    target = parameters["target"]
    return train.drop(target), test.drop(target), train.select(target), test.select(target)


def make_predictions(
    X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame, n_neighbors: int = 1
) -> pd.DataFrame:
    """Predict by a vote of the nearest neighbours.

    Args:
        X_train: Training data of features.
        X_test: Test data for features.
        y_train: Training data for target.
        n_neighbors: How many of the nearest training rows vote.

    Returns:
        y_pred: Prediction of the target variable, with the index of X_test.
    """
    return knn.Classifier(X_train, y_train, n_neighbors).predict(X_test)


def report_accuracy(
    y_pred: pd.DataFrame, y_test: pd.DataFrame, classes: list[str]
) -> tuple[dict[str, Any], Figure]:
    """Compare the predictions with the truth, and log the accuracy.

    Args:
        y_pred: Prediction of the target variable.
        y_test: The target variable.
        classes: The classes' names, by their positions in the target.

    Returns:
        The metrics (see reporting.summarise) and a picture of the confusion matrix.
    """
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (y_test.to_numpy().ravel(), y_pred.to_numpy().ravel()), 1)
    metrics = reporting.summarise(confusion, classes)
    log.info("Model has accuracy of %.3f on test data.", metrics["accuracy"])
    return metrics, reporting.draw(confusion, classes)
