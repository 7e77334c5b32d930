"""What a confusion matrix says, in numbers and as a picture."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def summarise(confusion: NDArray[np.int64], classes: list[str]) -> dict[str, Any]:
    """Compute accuracy, and precision, recall and F1 of each class.

    Args:
        confusion: Counts of test rows, one row per true and one column per predicted class.
        classes: The classes' names, in the matrix's order.

    Returns:
        `accuracy`, `test_rows` and `classes`: name to `precision`, `recall`, `f1` and `test_rows`.
        A share of nothing (the precision of a class never predicted) is 0.
    """
    right = np.diag(confusion)
    actual = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    scores = {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(actual, 1),
        "f1": 2 * right / np.maximum(actual + predicted, 1),
    }
    return {
        "accuracy": float(right.sum() / max(confusion.sum(), 1)),
        "test_rows": int(confusion.sum()),
        "classes": {
            name: {score: float(values[i]) for score, values in scores.items()}
            | {"test_rows": int(actual[i])}
            for i, name in enumerate(classes)
        },
    }


def draw(confusion: NDArray[np.int64], classes: list[str]) -> Figure:
    """Draw the confusion matrix: every cell with its count, shaded by its share of the true class.

    One hue from light to dark, so that it reads the same with any colour vision and in grey.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.9 * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 (half-way)
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=14)
    # Slanted, so that long names do not run into each other.
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    accuracy = np.trace(confusion) / max(confusion.sum(), 1)
    axes.set_title(f"Accuracy {accuracy:.3f} on {confusion.sum():,} test rows")
    figure.colorbar(image, ax=axes, label="Share of the true class")
    return figure
