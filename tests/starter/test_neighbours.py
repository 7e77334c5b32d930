"""The starter's classifier gives the same labels as the guide's code with a stable sort order."""

# ruff: noqa: N806 (X and y are the names that the field uses)
from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark import cloudpickle
from scipy.stats import mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "continuous": lambda random, shape: random.normal(size=shape),
    "grid": lambda random, shape: random.integers(0, 4, shape).astype(float),
    "binary": lambda random, shape: random.integers(0, 2, shape).astype(float),
    "constant": lambda _, shape: np.ones(shape),
    "duplicated": lambda random, shape: random.normal(size=(5, shape[1]))[random.integers(0, 5, shape[0])],
    "offset": lambda random, shape: 1e9 + random.normal(size=shape),
    "smallest": lambda random, shape: 1e-160 * random.normal(size=shape),
    "largest": lambda random, shape: 1e148 * random.normal(size=shape),
    "all magnitudes": lambda random, shape: (
        random.normal(size=shape) * 10.0 ** random.integers(-200, 140, shape)
    ),
}
WAYS = {"directly": (10**9, 0), "by tree": (0, 10**9), "by products": (0, 0), "as chosen": (2048, 7)}


def guide(X_train: np.ndarray, X_test: np.ndarray, y_train: np.ndarray, count: int) -> np.ndarray:  # noqa: N803
    """Return the guide's make_predictions for any number of neighbours, with a stable argsort."""
    squared_distances = np.sum((X_train[:, None, :] - X_test[None, :, :]) ** 2, axis=-1)
    nearest = np.argsort(squared_distances, axis=0, kind="stable")[:count]
    return np.asarray(mode(y_train[nearest], axis=0).mode)


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labels_are_the_guides(
    starter: ModuleType, monkeypatch: pytest.MonkeyPatch, way: str, data: st.DataObject
) -> None:
    """Labels equal the guide's for any data, number of neighbours, algorithm and chunk size."""
    # The direct way adds one column after the other, as numpy's sum does with up to seven.
    columns = data.draw(st.integers(1, 7 if way == "directly" else 30))
    rows = data.draw(st.integers(1, 400))
    count = data.draw(st.integers(1, rows) | st.integers(1, min(rows, 5)))
    train_kind, test_kind = data.draw(st.sampled_from([*KINDS])), data.draw(st.sampled_from([*KINDS]))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    train = KINDS[train_kind](random, (rows, columns))
    test = KINDS[test_kind](random, (data.draw(st.integers(1, 40)), columns))
    target = random.integers(0, 4, rows)
    tiny, tree_columns = WAYS[way]
    monkeypatch.setattr(starter.neighbours, "TINY", tiny)
    monkeypatch.setattr(starter.neighbours, "TREE_COLUMNS", tree_columns)
    monkeypatch.setattr(starter.neighbours, "NUMBERS", data.draw(st.sampled_from([1 << 17, 100])))
    memory_layout: Literal["C", "F"] = data.draw(st.sampled_from(["C", "F"]))

    X_train = pd.DataFrame(np.asarray(train, order=memory_layout))
    y_train = pd.DataFrame({"class": target})
    limits = {
        "workers": data.draw(st.integers(1, 2)),
        "chunk_bytes": data.draw(st.sampled_from([1, 1 << 26])),
    }
    classifier = starter.nodes.Classifier(X_train, y_train, count, **limits)
    predicted = classifier.predict(pd.DataFrame(np.asarray(test, order=memory_layout)))

    np.testing.assert_array_equal(predicted["class"], guide(train, test, target, count))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(votes=st.lists(st.integers(0, 5), min_size=1, max_size=7))
def test_votes_are_scipys_mode(starter: ModuleType, votes: list[int]) -> None:
    """The vote is the most frequent class, and the smallest of several, as with scipy's mode."""
    X_train, y_train = pd.DataFrame({"x": range(len(votes))}), pd.DataFrame({"class": votes})
    predicted = starter.nodes.Classifier(X_train, y_train, len(votes)).predict(X_train)
    assert predicted["class"].tolist() == [mode(votes).mode] * len(votes)


@pytest.mark.parametrize("kind", ["continuous", "constant", "grid", "duplicated"])
@pytest.mark.parametrize("columns", [4, 32])
def test_memory_stays_within_a_chunk(starter: ModuleType, kind: str, columns: int) -> None:
    """Besides the inputs, memory is limited to a 64 MB chunk and twice the training data in float32."""
    random = np.random.default_rng(0)
    X_train = pd.DataFrame(KINDS[kind](random, (30_000, columns)))
    X_test = pd.DataFrame(KINDS[kind](random, (5_000, columns)))
    y_train = pd.DataFrame({"class": random.integers(0, 3, len(X_train))})
    tracemalloc.start()
    try:
        starter.nodes.Classifier(X_train, y_train, 3).predict(X_test)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= (64 << 20) + 2 * 4 * X_train.size


@pytest.mark.parametrize(
    "label_type", ["int64", "int8", "float64", "bool", "object", "string", "category", "Int64"]
)
def test_labels_of_many_types(starter: ModuleType, label_type: str) -> None:
    """Predictions have the values of the training labels, whatever their type."""
    values: list[Any] = ["b", "a", "b"] if label_type in {"object", "string", "category"} else [1, 0, 1]
    y_train = pd.DataFrame({"class": pd.Series(values).astype(label_type)})
    X_train = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    predicted = starter.nodes.Classifier(X_train, y_train, 1).predict(X_train)
    assert predicted["class"].tolist() == values


@pytest.mark.parametrize("feature_type", ["float32", "int8", "uint8", "bool", "Int64", "Float64"])
def test_features_of_many_types(starter: ModuleType, feature_type: str) -> None:
    """Distances are right for all numeric types; unsigned integers do not overflow."""
    X_train = pd.DataFrame({"x": [0, 1], "y": [1, 0]}).astype(feature_type)
    y_train = pd.DataFrame({"class": ["a", "b"]})
    predicted = starter.nodes.Classifier(X_train, y_train, 1).predict(X_train)
    assert predicted["class"].tolist() == ["a", "b"]


def test_the_classifier_travels_between_versions_of_numpy(starter: ModuleType) -> None:
    """The pickled classifier names no private module of numpy, whose version may differ on executors."""
    train, target = pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"label": [0, 1]})
    cloudpickle.register_pickle_by_value(starter)  # type: ignore[no-untyped-call]
    try:
        sent = cloudpickle.dumps(starter.nodes.Classifier(train, target, 1))  # type: ignore[no-untyped-call]
    finally:
        cloudpickle.unregister_pickle_by_value(starter)  # type: ignore[no-untyped-call]
    assert b"predict" in sent
    assert b"numpy._typing" not in sent
