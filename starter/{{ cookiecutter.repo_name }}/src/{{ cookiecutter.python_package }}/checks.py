"""What a classifier cannot work with, refused in words that say what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

if TYPE_CHECKING:  # Spark sends this module whole to its executors, where numpy may be another
    from numpy.typing import NDArray

LARGEST = 1e150  # beyond it the square of a difference could overflow


def numbers(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return the frame's numbers; refuse what has no Euclidean distance."""
    values = frame.to_numpy()
    if values.dtype.kind not in "biuf":
        wrong = [column for column, dtype in frame.dtypes.items() if dtype.kind not in "biuf"]
        if wrong:
            raise ValueError(
                f"{name} of shape {frame.shape} has the columns {wrong}, expected real numbers only"
            )
        values = frame.to_numpy(np.float64, na_value=np.nan)
    values = values.astype(np.float64, copy=False)
    # A norm says it in one pass, but the threads of BLAS spin on after it, in the way of our own.
    lowest, highest = values.min(initial=0), values.max(initial=0)
    if not -LARGEST < lowest <= highest < LARGEST:  # so it is too with NaN
        for row, column in np.argwhere(~(np.abs(values) < LARGEST)):
            raise ValueError(
                f"{name} of shape {frame.shape} holds {values[row, column]} in row {row} of column"
                f" {frame.columns[column]!r}, expected finite numbers below {LARGEST:g}"
            )
    return values


def labels(y_train: pd.DataFrame, rows: int) -> NDArray[np.generic]:
    """Return the class of each training row."""
    if y_train.shape != (rows, 1):
        raise ValueError(f"y_train has shape {y_train.shape}, expected {(rows, 1)} as X_train")
    classes = y_train.to_numpy()[:, 0]
    if classes.dtype.kind not in "biu" and pd.isna(classes).any():
        raise ValueError(f"y_train of shape {y_train.shape} lacks values, expected a class per row")
    if classes.dtype.kind == "O" and infer_dtype(classes) in {"mixed", "mixed-integer"}:
        raise ValueError(
            f"y_train of shape {y_train.shape} mixes types, expected all numbers or all strings"
        )
    return classes


def neighbours(n_neighbors: int, shape: tuple[int, int]) -> int:
    """Return how many training rows vote."""
    if 0 in shape:
        raise ValueError(f"X_train has shape {shape}, expected rows and columns")
    if not isinstance(n_neighbors, int | np.integer) or not 1 <= n_neighbors <= shape[0]:
        raise ValueError(
            f"n_neighbors is {n_neighbors!r}, expected a whole number from 1 to {shape[0]},"
            f" the rows of X_train of shape {shape}"
        )
    return int(n_neighbors)


def in_order(X_test: pd.DataFrame, columns: pd.Index[str]) -> pd.DataFrame:
    """Return X_test with the columns of X_train, in their order."""
    found = X_test.columns
    if found.equals(columns):
        return X_test
    if len(found) != len(columns) or not found.is_unique or set(found) != set(columns):
        raise ValueError(
            f"X_test of shape {X_test.shape} has the columns {[*found]},"
            f" expected those of X_train: {[*columns]}"
        )
    return X_test[columns]
