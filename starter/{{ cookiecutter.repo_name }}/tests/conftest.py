"""What the tests share: a local Spark session, the parameters and the iris data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro_databricks_hybrid.spark import start
from pyspark.sql import DataFrame, SparkSession

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark on two cores of this machine."""
    session = start({"spark.master": "local[2]", "spark.ui.enabled": False})
    yield session
    session.stop()


@pytest.fixture
def parameters() -> dict[str, Any]:
    """What conf/base/parameters.yml says."""
    text = (PROJECT / "conf/base/parameters.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


@pytest.fixture
def iris(spark: SparkSession) -> DataFrame:
    """The raw data, typed as in the catalog."""
    catalog = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    options = catalog["example_iris_data"]["load_args"]
    return spark.read.csv(str(PROJECT / "data/01_raw/iris.csv"), **options)
