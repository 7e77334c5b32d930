"""Exact classification by a vote of the nearest neighbours."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .neighbours import ByProducts, Floats, Rows, findable, finder

FEW_ROWS = 256  # of test data, not worth a thread
CORES = os.cpu_count() or 1
LARGEST = 1e150  # beyond it the square of a difference could overflow


class Classifier:
    """A vote of the `n_neighbors` training rows that are nearest to a test row.

    Neighbours are ordered by squared Euclidean distance in float64, then by position. Of classes
    with equally many votes, the smallest wins, as in scipy.stats.mode.

    Args:
        X_train: Training data of features, one column each, of any numeric type.
        y_train: Training data for target: one column, of numbers or strings, a row for each row
            of X_train.
        n_neighbors: How many training rows vote, from 1 to all of them.
        workers: Threads to use; -1 means one for each core.
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
        workers: int = -1,
        chunk_bytes: int = 64 << 20,
    ) -> None:
        train = _numbers(X_train, "X_train")
        if train.size == 0:
            raise ValueError(f"X_train has shape {train.shape}, expected rows and columns")
        if not isinstance(n_neighbors, int | np.integer) or not 1 <= n_neighbors <= len(train):
            raise ValueError(
                f"n_neighbors is {n_neighbors!r}, expected a whole number from 1 to {len(train)},"
                f" the rows of X_train of shape {train.shape}"
            )
        labels = _labels(y_train, len(train))
        self._columns, self._target = X_train.columns, y_train.columns
        self._count = int(n_neighbors)
        self._workers = workers if workers > 0 else CORES
        memory = chunk_bytes // self._workers
        kept = findable(train, self._count)
        self._finder = finder(train[kept], self._count, memory)
        # The nearest row alone needs no vote: its label is the answer.
        if self._count == 1:
            self._classes, codes = labels, np.arange(len(labels))
        else:
            codes, self._classes = pd.factorize(labels, sort=True)
            rows = memory // (8 * (len(self._classes) + self._count))
            self._finder.block_rows = max(1, min(rows, self._finder.block_rows))
        self._codes = codes[kept]

    def predict(self, X_test: pd.DataFrame) -> pd.DataFrame:
        """Predict the class of each row of X_test.

        Args:
            X_test: Test data for features: the columns of X_train, in any order.

        Returns:
            One column, named as in y_train, with the index of X_test.

        Raises:
            ValueError: The columns are others, or hold something else than finite numbers.
        """
        if not X_test.columns.equals(self._columns):
            X_test = _in_order(X_test, self._columns)
        test = _numbers(X_test, "X_test")
        rows, workers = self._finder.block_rows, self._workers
        rounds = -(-len(test) // (rows * workers)) or 1
        # As many blocks for each thread, all of one size.
        step = max(min(rows, FEW_ROWS), -(-len(test) // (rounds * workers)))
        blocks = [test[first : first + step] for first in range(0, len(test), step)]
        if len(blocks) == 1:
            winners = self._vote(test)
        else:
            with self._one_thread_each(), ThreadPoolExecutor(workers) as pool:
                winners = np.concatenate([np.empty(0, np.intp), *pool.map(self._vote, blocks)])
        return pd.DataFrame(self._classes[winners], X_test.index, self._target)

    def _one_thread_each(self) -> AbstractContextManager[object]:
        """Keep each matrix product to the thread that asks for it: that is faster."""
        if isinstance(self._finder, ByProducts):
            with suppress(ImportError):
                from threadpoolctl import threadpool_limits  # noqa: PLC0415 (where it is installed)

                return threadpool_limits(1, "blas")  # type: ignore[no-any-return]
        return nullcontext()

    def _vote(self, test: Floats) -> Rows:
        """Return the most frequent code among each row's neighbours, the smallest of several."""
        votes = self._codes[self._finder.nearest(np.ascontiguousarray(test))]
        if self._count == 1:
            return votes[:, 0]
        size = len(votes), len(self._classes)
        votes += np.arange(size[0])[:, None] * size[1]
        counts = np.bincount(votes.ravel(), minlength=size[0] * size[1]).reshape(size)
        winners: Rows = counts.argmax(axis=1)
        return winners


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    """Return the frame's numbers; refuse what has no Euclidean distance."""
    values = frame.to_numpy()
    if values.dtype.kind not in "biuf":
        wrong = [column for column, dtype in frame.dtypes.items() if dtype.kind not in "biuf"]
        if wrong:
            raise ValueError(
                f"{name} of shape {frame.shape} has the columns {wrong}, expected real numbers only"
            )
        values = frame.to_numpy(np.float64, na_value=np.nan)
    numbers = values.astype(np.float64, copy=False)
    flat = numbers.ravel(order="K")
    if not np.vdot(flat, flat) < LARGEST**2:  # so it is too with NaN
        for row, column in np.argwhere(~(np.abs(numbers) < LARGEST)):
            raise ValueError(
                f"{name} of shape {frame.shape} holds {numbers[row, column]} in row {row} of column"
                f" {frame.columns[column]!r}, expected finite numbers below {LARGEST:g}"
            )
    return numbers


def _labels(y_train: pd.DataFrame, rows: int) -> NDArray[np.generic]:
    if y_train.shape != (rows, 1):
        raise ValueError(f"y_train has shape {y_train.shape}, expected {(rows, 1)} as X_train")
    labels = y_train.to_numpy()[:, 0]
    if labels.dtype.kind not in "biu" and pd.isna(labels).any():
        raise ValueError(f"y_train of shape {y_train.shape} lacks values, expected a class per row")
    return labels


def _in_order(X_test: pd.DataFrame, columns: "pd.Index[str]") -> pd.DataFrame:
    found = X_test.columns
    if len(found) != len(columns) or not found.is_unique or set(found) != set(columns):
        raise ValueError(
            f"X_test of shape {X_test.shape} has the columns {[*found]},"
            f" expected those of X_train: {[*columns]}"
        )
    return X_test[columns]
