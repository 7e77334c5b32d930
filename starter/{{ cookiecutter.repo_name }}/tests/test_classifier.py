"""The classifier against plain arithmetic, and what it refuses."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import mode

from {{ cookiecutter.python_package }}.nodes import Classifier


def by_definition(
    train: NDArray[np.float64], test: NDArray[np.float64], target: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Sort all training rows by distance, stably, and let the first vote."""
    squared_distances = np.sum((train[None] - test[:, None]) ** 2, axis=-1)
    nearest = np.argsort(squared_distances, axis=1, kind="stable")[:, :count]
    votes: NDArray[np.int64] = np.asarray(mode(target[nearest], axis=1), dtype=np.int64)[0]
    return votes


@pytest.mark.parametrize("columns", [2, 12, 20])
@pytest.mark.parametrize("rows", [30, 2000])
@pytest.mark.parametrize("count", [1, 3, 30])
def test_predicts_as_defined(rows: int, columns: int, count: int) -> None:
    """Small and large, flat and deep, with many ties: the labels are those of the definition."""
    random = np.random.default_rng(rows + columns)
    train = random.integers(0, 4, (rows, columns)).astype(float)
    test = random.integers(0, 4, (50, columns)).astype(float)
    target = random.integers(0, 3, rows)

    classifier = Classifier(pd.DataFrame(train), pd.DataFrame({"class": target}), count)
    predicted = classifier.predict(pd.DataFrame(test))

    expected = by_definition(train, test, target, count)
    pd.testing.assert_frame_equal(predicted, pd.DataFrame({"class": expected}))


X = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [0.0, 1.0, 2.0]})
Y = pd.DataFrame({"class": ["x", "y", "z"]})


def test_labels_can_be_strings_and_columns_in_another_order() -> None:
    """Columns are matched by name, and the index of the test rows is kept."""
    test = pd.DataFrame({"b": [9.0, 0.1], "a": [9.0, 0.2]}, index=[7, 5])
    expected = pd.DataFrame({"class": ["z", "x"]}, index=[7, 5])
    pd.testing.assert_frame_equal(Classifier(X, Y, 1).predict(test), expected)


def test_no_test_rows_give_no_predictions() -> None:
    """The columns are there all the same."""
    pd.testing.assert_frame_equal(Classifier(X, Y, 3).predict(X[:0]), Y[:0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors is 0, expected a whole number from 1 to 3"),
        ({"n_neighbors": 4}, "n_neighbors is 4, expected a whole number from 1 to 3"),
        ({"n_neighbors": 1.5}, "n_neighbors is 1.5"),
        ({"X_train": X[:0]}, r"X_train has shape \(0, 2\)"),
        ({"X_train": X.replace(1.0, np.nan)}, r"X_train of shape \(3, 2\) holds nan in row 1"),
        ({"X_train": X.astype(str)}, r"X_train of shape \(3, 2\) has the columns \['a', 'b'\]"),
        ({"y_train": Y[:2]}, r"y_train has shape \(2, 1\), expected \(3, 1\)"),
        ({"y_train": Y.replace("y", None)}, r"y_train of shape \(3, 1\) lacks values"),
        ({"y_train": Y.replace("y", 1)}, r"y_train of shape \(3, 1\) mixes types"),
        ({"X_test": X.replace(2.0, np.inf)}, r"X_test of shape \(3, 2\) holds inf in row 2"),
        ({"X_test": X[["a"]]}, r"X_test of shape \(3, 1\) has the columns \['a'\]"),
        ({"X_test": X.rename(columns={"a": "c"})}, r"expected those of X_train: \['a', 'b'\]"),
    ],
)
def test_refuses(changed: dict[str, Any], message: str) -> None:
    """Bad input is named, with its shape and what was expected."""
    given = {"X_train": X, "y_train": Y, "n_neighbors": 1, "X_test": X, **changed}
    with pytest.raises(ValueError, match=message):
        Classifier(given["X_train"], given["y_train"], given["n_neighbors"]).predict(
            given["X_test"]
        )
