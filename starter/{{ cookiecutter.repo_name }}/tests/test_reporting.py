"""Metrics and picture of a confusion matrix."""

import numpy as np
import pytest

from {{ cookiecutter.python_package }}.reporting import draw, summarise

CLASSES = ["one", "two", "three"]
CONFUSION = np.array([[3, 1, 0], [0, 4, 0], [2, 0, 0]])


def test_metrics_of_each_class() -> None:
    """Precision, recall and F1 are those worked out by hand; never predicted counts as 0."""
    metrics = summarise(CONFUSION, CLASSES)
    assert metrics["accuracy"] == pytest.approx(0.7)
    assert metrics["classes"]["one"] == pytest.approx(
        {"precision": 3 / 5, "recall": 3 / 4, "f1": 2 / 3, "test_rows": 4}
    )
    assert metrics["classes"]["three"] == {"precision": 0, "recall": 0, "f1": 0, "test_rows": 2}


def test_picture_names_the_classes_and_counts() -> None:
    """Everything that the matrix says can be read from the picture."""
    axes = draw(CONFUSION, CLASSES).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == CLASSES
    assert [label.get_text() for label in axes.get_yticklabels()] == CLASSES
    assert [text.get_text() for text in axes.texts] == [str(count) for count in CONFUSION.flat]
