"""The edit in Kedro's guide to the hybrid workflow: a three-nearest-neighbour classifier.

`IMPORT` and `MAKE_PREDICTIONS` are quoted from Kedro's documentation, "Databricks development workflow"
(Apache License 2.0), so that the demo and the tests make the same edit as readers of the guide.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IMPORT = "from scipy.stats import mode\n"

MAKE_PREDICTIONS = '''\
def make_predictions(
    X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame
) -> pd.DataFrame:
    """Uses 3-nearest neighbour classifier to create predictions.
    Args:
        X_train: Training data of features.
        y_train: Training data for target.
        X_test: Test data for features.
    Returns:
        y_pred: Prediction of the target variable.
    """

    X_train_numpy = X_train.to_numpy()
    X_test_numpy = X_test.to_numpy()

    squared_distances = np.sum(
        (X_train_numpy[:, None, :] - X_test_numpy[None, :, :]) ** 2, axis=-1
    )
    three_nearest_neighbours = np.argsort(squared_distances, axis=0)[:3]

    # Use list comprehension to index y_train for each test point's three nearest neighbours
    y_nearest_neighbours = np.array(
        [y_train.iloc[three_nearest_neighbours[:, i]] for i in range(X_test.shape[0])]
    )

    y_pred_mode, _ = mode(y_nearest_neighbours, axis=1)
    y_pred = pd.DataFrame(
        y_pred_mode.squeeze(), columns=y_train.columns, index=X_test.index
    )

    return y_pred
'''


def apply(nodes: Path) -> None:
    """Edit a nodes.py as in the guide: add the import below the others, and replace the function."""
    source = nodes.read_text("utf-8")
    lines = source.splitlines(keepends=True)
    body = ast.parse(source).body
    function = next(n for n in body if isinstance(n, ast.FunctionDef) and n.name == "make_predictions")
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    last_import = max(n.end_lineno or 0 for n in body if isinstance(n, (ast.Import, ast.ImportFrom)))
    edited = [*lines[:last_import], IMPORT, *lines[last_import : first - 1], MAKE_PREDICTIONS]
    nodes.write_text("".join([*edited, *lines[function.end_lineno :]]), encoding="utf-8")
