"""Compare the starter's classifier with the guide's code, scikit-learn and faiss.

    python -m benchmarks.knn [--quick]

Each entry fits and predicts in a new process, so that its peak of memory can be measured. The inputs
are the same, the entries of a case alternate, and a row has the medians of the rounds.
"""

# ruff: noqa: N803, N806 (X and y are the names that the field uses)
from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.results import Row, print_header, print_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = (
    Path(__file__).parents[1] / "starter/{{ cookiecutter.repo_name }}/src/{{ cookiecutter.python_package }}"
)
MEGABYTE = 1 << 20
CHUNK = 64 * MEGABYTE
PEERS = {
    "guide": "the guide's code",
    "sklearn": "scikit-learn, auto",
    "sklearn brute": "scikit-learn, brute",
    "faiss": "faiss, float32",
    "continuous": "itself, without ties",
}


@dataclass(frozen=True)
class Case:
    """A size, and how much faster than each peer the starter should be (0.8: at most 1.25 times slower)."""

    data: str
    shape: tuple[int, int, int]  # training rows, test rows, columns
    neighbours: int
    targets: dict[str, float]
    quick: int = 0  # rounds with --quick; 0 skips the case

    def __str__(self) -> str:
        train, test, columns = self.shape
        return f"{self.data}, {train:,} x {test:,} x {columns}, k={self.neighbours}"


IRIS, FLAT, LARGE = (120, 30, 4), (10_000, 10_000, 4), (100_000, 100_000, 4)
DEEP, PICTURES = (50_000, 10_000, 64), (20_000, 5_000, 784)
CASES = [
    *(Case(data, IRIS, 1, {"guide": 4}, quick=1) for data in ("iris", "continuous")),
    *(Case(data, IRIS, 3, {"guide": 25}, quick=1) for data in ("iris", "continuous")),
    Case("continuous", FLAT, 1, {"guide": 350, "sklearn": 2.5}, quick=3),
    Case("continuous", FLAT, 3, {"guide": 700, "sklearn": 2.5}, quick=3),
    Case("continuous", LARGE, 3, {"sklearn": 2.5}),
    Case("continuous", DEEP, 3, {"sklearn brute": 2.0, "faiss": 1.0}),
    Case("continuous", PICTURES, 3, {"sklearn brute": 1.6, "faiss": 0.8}),
    # At most 10 times the starter's time on continuous data of the same size.
    *(
        Case(data, shape, 3, {"continuous": 0.1})
        for shape in (LARGE, DEEP)
        for data in ("constant", "duplicated", "grid")
    ),
]


def main() -> int:
    """Run all cases and print the rows; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smaller sizes only, and fewer rounds")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        measure(json.loads(options.worker))
        return 0
    print_header()
    met = True
    for case in CASES:
        rounds = case.quick if options.quick else 3 if "continuous" in case.targets else 5
        if rounds:
            met &= print_rows(*compare(case, rounds))
    return 0 if met else 1


def compare(case: Case, rounds: int) -> Iterator[Row]:
    """Run the entries of a case alternately; yield a row for each peer, and one for the starter's memory."""
    measured: dict[str, list[dict[str, float]]] = {entry: [] for entry in ("starter", *case.targets)}
    for turn in range(rounds):
        for entry, runs in measured.items():
            if turn == 0 or not takes_long(case, entry):
                runs.append(in_own_process(case, entry))
    seconds = {entry: statistics.median(each["seconds"] for each in runs) for entry, runs in measured.items()}
    unit, factor = ("ms", 1000) if seconds["starter"] < 1 else ("s", 1)
    for entry, target in case.targets.items():
        ratio = seconds[entry] / seconds["starter"]
        once = " (measured once)" if takes_long(case, entry) else ""
        yield Row(
            str(case),
            PEERS[entry] + once,
            f"{seconds[entry] * factor:.2f} {unit}",
            f"{seconds['starter'] * factor:.2f} {unit}",
            f"{ratio:.2f} times as fast",
        ).held_to(f"{target}", met=ratio >= target)
    if case.shape == IRIS:
        return
    peak = max(each["peak"] for each in measured["starter"])
    allowed = CHUNK + 2 * 4 * case.shape[0] * case.shape[2]
    most = Row(f"{case}: memory above the inputs", "", "", f"{peak / MEGABYTE:.0f} MB")
    yield most.held_to(f"{allowed / MEGABYTE:.0f} MB", met=peak <= allowed)


def takes_long(case: Case, entry: str) -> bool:
    """Return whether to run one round only: the guide's code takes long, and its time hardly varies."""
    return entry == "guide" and case.shape[0] > 1000


def in_own_process(case: Case, entry: str) -> dict[str, float]:
    """Measure one entry once in a new process, with the processor's default BLAS settings."""
    request = {
        "shape": case.shape,
        "neighbours": case.neighbours,
        "entry": entry,
        "data": "continuous" if entry == "continuous" else case.data,
    }
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"}
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.knn", "--worker", json.dumps(request)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(request: dict[str, Any]) -> None:
    """Warm up on little data, then measure; small sizes many times."""
    rows, tests, columns = request["shape"]
    predict = ENTRIES[request["entry"]]
    random = np.random.default_rng(0)
    X_train, X_test = (
        pd.DataFrame(DATA[request["data"]](random, (n, columns)), copy=False) for n in (rows, tests)
    )
    y_train = pd.DataFrame({"species": random.integers(0, 3, rows)})
    few = slice(0, min(rows, 1000)), slice(0, min(tests, 100))
    predict(X_train[few[0]], X_test[few[1]], y_train[few[0]], request["neighbours"])
    repeats = 200 if rows < 1000 else 1
    peak = Peak()
    with peak:
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            predict(X_train, X_test, y_train, request["neighbours"])
            times.append(time.perf_counter() - started)
    print(json.dumps({"seconds": statistics.median(times), "peak": peak.bytes}))


class Peak:
    """Measures the growth of this process's resident memory, every two milliseconds."""

    def __enter__(self) -> None:
        self._before = self._most = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """The largest growth in bytes."""
        return self._most - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._most = max(self._most, _resident())


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def iris() -> np.ndarray:
    """Return the features of the starter's data."""
    measured: np.ndarray = pd.read_csv(SOURCE.parents[1] / "data/01_raw/iris.csv").iloc[:, :4].to_numpy()
    return measured


def starter(X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame, count: int) -> pd.DataFrame:
    """Predict with the starter's node, imported from the template."""
    if "iris_starter" not in sys.modules:
        package = types.ModuleType("iris_starter")
        package.__path__ = [str(SOURCE)]
        sys.modules["iris_starter"] = package
    nodes = importlib.import_module("iris_starter.nodes")
    predicted: pd.DataFrame = nodes.make_predictions(X_train, X_test, y_train, count)
    return predicted


def guide(X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame, count: int) -> pd.DataFrame:
    """Predict with the guide's code: with three neighbours, or with one as in its starter."""
    from scipy.stats import mode

    X_train_numpy = X_train.to_numpy()
    X_test_numpy = X_test.to_numpy()
    squared_distances = np.sum((X_train_numpy[:, None, :] - X_test_numpy[None, :, :]) ** 2, axis=-1)
    if count == 1:
        y_pred: pd.DataFrame = y_train.iloc[squared_distances.argmin(axis=0)]
        y_pred.index = X_test.index
        return y_pred
    nearest = np.argsort(squared_distances, axis=0)[:count]
    y_nearest = np.array([y_train.iloc[nearest[:, i]] for i in range(X_test.shape[0])])
    y_pred_mode, _ = mode(y_nearest, axis=1)
    of_several: pd.DataFrame = pd.DataFrame(y_pred_mode.squeeze(), X_test.index, y_train.columns)
    return of_several


def sklearn(
    X_train: pd.DataFrame,
    X_test: pd.DataFrame,
    y_train: pd.DataFrame,
    count: int,
    algorithm: str = "auto",
) -> Any:  # noqa: ANN401
    """Predict with scikit-learn on all cores."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(count, algorithm=algorithm, n_jobs=-1)
    return classifier.fit(X_train, y_train["species"]).predict(X_test)


def sklearn_brute(X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame, count: int) -> Any:  # noqa: ANN401
    """Predict with scikit-learn's brute-force algorithm."""
    return sklearn(X_train, X_test, y_train, count, "brute")


def faiss(X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.DataFrame, count: int) -> Any:  # noqa: ANN401
    """Predict with faiss, which computes in float32."""
    from faiss import IndexFlatL2

    index = IndexFlatL2(X_train.shape[1])
    index.add(np.ascontiguousarray(X_train, dtype=np.float32))
    _, nearest = index.search(np.ascontiguousarray(X_test, dtype=np.float32), count)
    votes = y_train["species"].to_numpy()[nearest]
    return np.stack([(votes == label).sum(axis=1) for label in range(3)]).argmax(axis=0)


ENTRIES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame, int], Any]] = {
    "starter": starter,
    "continuous": starter,
    "guide": guide,
    "sklearn": sklearn,
    "sklearn brute": sklearn_brute,
    "faiss": faiss,
}
DATA: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    # In column-major order, as in tables read from parquet; the others are in row-major order.
    "iris": lambda random, shape: np.asfortranarray(random.choice(iris(), shape[0], replace=False)),
    "continuous": lambda random, shape: random.normal(size=shape),
    "constant": lambda _, shape: np.ones(shape),
    "duplicated": lambda random, shape: random.normal(size=(10, shape[1]))[random.integers(0, 10, shape[0])],
    "grid": lambda random, shape: random.integers(0, 50, shape).astype(np.float64),
}

if __name__ == "__main__":
    sys.exit(main())
