"""The pipelines of a copy of this project, run as `kedro run` does."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, spark: SparkSession) -> Path:  # noqa: ARG001 (a session must be up)
    """A copy of the project that a run may write to."""
    for part in ("conf", "src", "data/01_raw"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    (tmp_path / "conf/local").mkdir(exist_ok=True)
    bootstrap_project(tmp_path)
    return tmp_path


def run(project: Path, pipeline: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    """Run one pipeline and return the metrics that it saved."""
    with KedroSession.create(project, runtime_params=parameters) as session:
        assert isinstance(session, KedroSession)
        session.run(pipeline_names=[pipeline])
    folder = "." if pipeline == "__default__" else pipeline
    text = (project / "data/08_reporting" / folder / "metrics.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@pytest.mark.parametrize(("n_neighbors", "accuracy"), [(1, 0.96), (3, 1.0)])
def test_accuracy(project: Path, n_neighbors: int, accuracy: float) -> None:
    """One neighbour errs once; three do not."""
    assert run(project, "__default__", n_neighbors=n_neighbors)["accuracy"] == accuracy


def test_distributed_gives_the_same(project: Path) -> None:
    """The two pipelines agree in their metrics and in the prediction for every row."""
    metrics = run(project, "__default__")
    assert run(project, "distributed") == metrics

    inputs, outputs = project / "data/05_model_input", project / "data/07_model_output"
    parts = [pd.read_parquet(inputs / f"{name}.parquet") for name in ("X_test", "y_test")]
    prediction = pd.read_parquet(outputs / "y_pred.parquet").set_axis(["prediction"], axis=1)
    expected = pd.concat([*parts, prediction], axis=1)
    actual = pd.read_parquet(outputs / "distributed/predictions.parquet")
    columns = list(expected.columns)
    pd.testing.assert_frame_equal(
        actual.sort_values(columns, ignore_index=True),
        expected.sort_values(columns, ignore_index=True),
    )
