"""The split depends on the rows and random_state alone."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from {{ cookiecutter.python_package }}.nodes import split


def saved(data: DataFrame, parameters: dict[str, Any], folder: Path) -> list[pd.DataFrame]:
    """Split, let Spark write the four tables, and read them as the next node does."""
    tables = []
    for number, table in enumerate(split(data, parameters)):
        path = str(folder / f"{number}.parquet")
        table.write.parquet(path)
        tables.append(pd.read_parquet(path))
    return tables


@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_is_the_same_for_any_partitions(
    spark: SparkSession,
    iris: DataFrame,
    parameters: dict[str, Any],
    tmp_path: Path,
    partitions: int,
) -> None:
    """Shuffled rows in many files come back in the same order as in a single file."""
    expected = saved(iris.coalesce(1), parameters, tmp_path / "one")
    shuffled = iris.repartition(partitions, "petal_width")
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    spark.conf.set("spark.sql.shuffle.partitions", str(2 * partitions))
    try:
        actual = saved(shuffled, parameters, tmp_path / "many")
    finally:
        spark.conf.unset("spark.sql.adaptive.enabled")
        spark.conf.unset("spark.sql.shuffle.partitions")

    written = list((tmp_path / "many" / "0.parquet").glob("part-*"))
    assert (len(written) > 1) == (partitions > 1)
    for one, many in zip(expected, actual, strict=True):
        pd.testing.assert_frame_equal(one, many)


def test_keeps_features_and_target_together(
    iris: DataFrame, parameters: dict[str, Any], tmp_path: Path
) -> None:
    """Put side by side again, the tables hold the rows of the data, each once."""
    X_train, X_test, y_train, y_test = saved(iris, parameters, tmp_path)
    train, test = pd.concat([X_train, y_train], axis=1), pd.concat([X_test, y_test], axis=1)
    rows = pd.concat([train, test])
    rows["species"] = [parameters["classes"][position] for position in rows["species"]]

    columns = list(rows.columns)
    expected = iris.toPandas().sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(rows.sort_values(columns, ignore_index=True), expected)


def test_another_random_state_splits_otherwise(iris: DataFrame, parameters: dict[str, Any]) -> None:
    """random_state is not ignored."""
    first = split(iris, parameters)[1].toPandas()
    second = split(iris, {**parameters, "random_state": 1})[1].toPandas()
    assert not first.equals(second)


def test_refuses_a_class_without_a_name(
    spark: SparkSession, iris: DataFrame, parameters: dict[str, Any]
) -> None:
    """A class that parameters.yml does not list is named in the error."""
    stray = spark.createDataFrame([(1.0, 1.0, 1.0, 1.0, "tulip")], iris.schema)
    with pytest.raises(Exception, match="species is tulip, expected one of setosa"):
        split(stray, parameters)[3].union(split(stray, parameters)[2]).collect()


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_refuses_a_fraction_that_leaves_nothing(
    iris: DataFrame, parameters: dict[str, Any], fraction: float
) -> None:
    """Both sides of the split need rows."""
    with pytest.raises(ValueError, match=f"train_fraction is {fraction}"):
        split(iris, {**parameters, "train_fraction": fraction})
