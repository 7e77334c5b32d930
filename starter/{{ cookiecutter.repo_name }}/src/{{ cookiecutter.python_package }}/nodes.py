"""The nodes of the iris pipeline, and the nearest-neighbour classifier that they predict with."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from . import checks, reporting
from .neighbours import ByProducts, Floats, Rows, findable, finder
from .split import train_and_test

CORES = os.cpu_count() or 1
FEW_ROWS = 256  # of test data, not worth a thread
BLOCK_ROWS = 16384  # that a thread takes at a time, where memory allows it

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
    return Classifier(X_train, y_train, n_neighbors).predict(X_test)


class Classifier:
    """A vote of the `n_neighbors` training rows that are nearest to a test row.

    Neighbours are ordered by squared Euclidean distance in float64, then by position. Of classes
    with equally many votes, the smallest wins, as in scipy.stats.mode.

    Args:
        X_train: Training data of features, one column each, of any numeric type.
        y_train: Training data for target: one column, of numbers or strings.
        n_neighbors: How many training rows vote, from 1 to all of them.
        workers: Threads to use; by default one for each core.
        chunk_bytes: Bound of the memory for intermediate results.

    Raises:
        ValueError: An argument is not like that, or holds NaN or infinity.
    """

    def __init__(
        self,
        X_train: pd.DataFrame,
        y_train: pd.DataFrame,
        n_neighbors: int,
        *,
        workers: int | None = None,
        chunk_bytes: int = 64 << 20,
    ) -> None:
        train = checks.numbers(X_train, "X_train")
        self._count = checks.neighbours(n_neighbors, train.shape)
        labels = checks.labels(y_train, len(train))
        self._columns, self._target = X_train.columns, y_train.columns
        self._workers = workers or CORES
        memory = chunk_bytes // self._workers
        kept = findable(train, self._count)
        self._finder = finder(train[kept], self._count, memory)
        if self._count == 1:  # The nearest row needs no vote: its label is the answer.
            codes, self._classes, vote_bytes = np.arange(len(labels)), labels, 0
        else:
            # Numbered in their order, so that the smallest of several has the smallest code.
            codes, classes = pd.factorize(labels)
            order = classes.argsort()
            codes, self._classes = order.argsort()[codes], classes[order]
            vote_bytes = 8 * (len(self._classes) + self._count)
        self._codes = codes[kept]
        self._most_rows = max(1, min(BLOCK_ROWS, memory // (self._finder.row_bytes + vote_bytes)))

    def predict(self, X_test: pd.DataFrame) -> pd.DataFrame:
        """Predict the class of each row of X_test.

        Args:
            X_test: Test data for features: the columns of X_train, in any order.

        Returns:
            One column, named as in y_train, with the index of X_test.

        Raises:
            ValueError: The columns are others, or hold something else than finite numbers.
        """
        test = checks.numbers(checks.in_order(X_test, self._columns), "X_test")
        is_small = 1 <= len(test) <= min(FEW_ROWS, self._most_rows)
        winners = self._vote(test) if is_small else self._vote_in_blocks(test)
        return pd.DataFrame(self._classes[winners], X_test.index, self._target)

    def _vote_in_blocks(self, test: Floats) -> Rows:
        """Return the same as _vote, each thread taking a block of rows at a time."""
        rounds = ceil(len(test) / (self._most_rows * self._workers)) or 1
        # As many blocks for each thread, all of one size.
        rows = max(1, ceil(len(test) / (rounds * self._workers)))
        blocks = [test[first : first + rows] for first in range(0, len(test), rows)]
        # Matrix products that keep to the thread that asks for them are faster.
        is_product = isinstance(self._finder, ByProducts)
        limit = threadpool_limits(1, "blas") if is_product else nullcontext()
        with limit, ThreadPoolExecutor(self._workers) as pool:
            return np.concatenate([np.empty(0, np.intp), *pool.map(self._vote, blocks)])

    def _vote(self, test: Floats) -> Rows:
        """Return the most frequent code among each row's neighbours, the smallest of several."""
        votes = self._codes[self._finder.nearest(np.ascontiguousarray(test))]
        if self._count == 1:
            return votes[:, 0]
        # Each row gets codes of its own, so that one count does for all rows.
        size = len(votes), len(self._classes)
        votes += np.arange(size[0])[:, None] * size[1]
        counts = np.bincount(votes.ravel(), minlength=size[0] * size[1]).reshape(size)
        winners: Rows = counts.argmax(axis=1)
        return winners


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
