"""Exact classification by a vote of the nearest neighbours."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_complex_dtype, is_numeric_dtype

from .neighbours import NearestRows

# Beyond it the square of a difference could overflow.
LARGEST = 1e150


class Classifier:
    """A vote of the `n_neighbors` training rows that are nearest to a test row.

    Distances are Euclidean. Of training rows that are equally far, the earlier one counts as
    nearer; of classes with equally many votes, the smallest wins, as in scipy.stats.mode.

    Args:
        X_train: Training data of features, one column each, of any numeric type.
        y_train: Training data for target: one column, of numbers or strings, a row for each row
            of X_train.
        n_neighbors: How many training rows vote, from 1 to all of them.
        workers: Threads to use; -1 means one for each core.

    Raises:
        ValueError: An argument is not like that, or holds NaN or infinity.
    """

    def __init__(
        self, X_train: pd.DataFrame, y_train: pd.DataFrame, n_neighbors: int, workers: int = -1
    ) -> None:
        train = _features(X_train, "X_train")
        if 0 in train.shape:
            raise ValueError(f"X_train has shape {train.shape}, expected rows and columns")
        if y_train.shape != (len(train), 1):
            expected = (len(train), 1)
            raise ValueError(f"y_train has shape {y_train.shape}, expected {expected} as X_train")
        if not isinstance(n_neighbors, int | np.integer) or not 1 <= n_neighbors <= len(train):
            raise ValueError(
                f"n_neighbors is {n_neighbors!r}, expected a whole number from 1 to {len(train)},"
                f" the rows of X_train of shape {train.shape}"
            )
        self._columns, self._target = X_train.columns, y_train.columns
        self._classes, self._codes = _labels(y_train)
        self._neighbours = NearestRows(train, int(n_neighbors), workers=workers)

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
            X_test = self._in_order(X_test)
        test = _features(X_test, "X_test")
        winners = np.empty(len(test), dtype=np.intp)
        for first, nearest in self._neighbours.of(test):
            winners[first : first + len(nearest)] = _most_frequent(self._codes[nearest])
        labels = self._classes[winners]
        return pd.DataFrame(labels[:, None], index=X_test.index, columns=self._target)

    def _in_order(self, X_test: pd.DataFrame) -> pd.DataFrame:
        columns, found = self._columns, X_test.columns
        if len(found) != len(columns) or not found.is_unique or set(found) != set(columns):
            raise ValueError(
                f"X_test of shape {X_test.shape} has the columns {[*found]},"
                f" expected those of X_train: {[*columns]}"
            )
        return X_test[columns]


def _features(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return the frame's numbers; refuse what has no Euclidean distance."""
    values = frame.to_numpy()
    if values.dtype.kind not in "biuf":
        kinds = frame.dtypes.items()
        wrong = [c for c, kind in kinds if not is_numeric_dtype(kind) or is_complex_dtype(kind)]
        if wrong:
            raise ValueError(
                f"{name} of shape {frame.shape} has the columns {wrong}, expected real numbers only"
            )
        values = frame.to_numpy(np.float64, na_value=np.nan)
    numbers = values.astype(np.float64, copy=False)
    # One comparison for NaN, which fails all of them, infinity and overflow.
    if numbers.size and not (numbers.min() > -LARGEST and numbers.max() < LARGEST):
        row, column = np.argwhere(~(np.abs(numbers) < LARGEST))[0]
        raise ValueError(
            f"{name} of shape {frame.shape} holds {numbers[row, column]} in row {row} of column"
            f" {frame.columns[column]!r}, expected finite numbers below {LARGEST:g}"
        )
    return numbers


def _labels(y_train: pd.DataFrame) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
    """Return the classes in ascending order, and each row's class as a position among them."""
    labels = y_train.to_numpy()[:, 0]
    if labels.dtype.kind not in "biu" and pd.isna(labels).any():
        raise ValueError(f"y_train of shape {y_train.shape} lacks values, expected a class per row")
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"y_train holds classes that have no common order: {error}") from error


def _most_frequent(votes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return each row's most frequent value, the smallest of them where several are."""
    if votes.shape[1] == 1:
        return votes[:, 0]
    votes = np.sort(votes, axis=1)
    position = np.arange(votes.shape[1])
    # Equal votes lie side by side now: how many are there of each, up to each position?
    is_first = np.ones(votes.shape, dtype=bool)
    is_first[:, 1:] = votes[:, 1:] != votes[:, :-1]
    so_far = position - np.maximum.accumulate(np.where(is_first, position, 0), axis=1)
    winners: NDArray[np.intp] = votes[np.arange(len(votes)), so_far.argmax(axis=1)]
    return winners
