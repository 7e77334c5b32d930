"""Which rows to train on: a function of the rows and a number, of nothing else."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 (the name that the field uses)


def train_and_test(data: DataFrame, parameters: dict[str, Any]) -> tuple[DataFrame, DataFrame]:
    """Split the rows in two, each in an order of its own, the target as its class's position.

    A row's own hash decides on which side it comes and where in the order, so neither depends on
    partitions, cores or machines. Rows that are equal in every column go to the same side.

    Args:
        data: Rows with features and the target.
        parameters: `train_fraction`, `random_state`, `target` and `classes`, see parameters.yml.

    Returns:
        The rows to train on and the rows to test on, columns as in `data`.

    Raises:
        ValueError: `train_fraction` is not between 0 and 1.
    """
    fraction = parameters["train_fraction"]
    if not 0 < fraction < 1:
        raise ValueError(f"train_fraction is {fraction}, expected a number between 0 and 1")

    columns = sorted(data.columns)
    random_state = F.lit(parameters["random_state"]).cast("long")
    # 64-bit hashes, spread over the numbers from 0 to 1
    place = F.xxhash64(random_state, *columns) / 2.0**64 + 0.5
    target = parameters["target"]
    # Only rows equal in every column tie in this order, and those are interchangeable.
    rows = data.withColumn("_place", place).orderBy("_place", *columns)
    encoded = rows.withColumn(target, class_position(target, parameters["classes"]))
    train = encoded.where(F.col("_place") < fraction)
    test = encoded.where(F.col("_place") >= fraction)
    return train.drop("_place"), test.drop("_place")


def class_position(target: str, classes: list[str]) -> Column:
    """Return the position of a row's class in `classes`; another class fails the Spark job."""
    unknown = F.concat(
        F.lit(f"{target} is "),
        F.coalesce(F.col(target), F.lit("missing")),
        F.lit(f", expected one of {', '.join(classes)}"),
    )
    positions = (
        F.when(F.col(target) == name, F.lit(position).cast("long"))
        for position, name in enumerate(classes)
    )
    return F.coalesce(*positions, F.raise_error(unknown).cast("long"))
