"""From raw tables to one that models can learn from."""

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sql


def preprocess_companies(companies: DataFrame) -> DataFrame:
    """Turn ratings into shares and marks into booleans."""
    return companies.select(
        "id",
        _share("company_rating").alias("company_rating"),
        (sql.col("iata_approved") == "t").alias("iata_approved"),
        sql.coalesce("company_location", sql.lit("unknown")).alias("company_location"),
    )


def preprocess_shuttles(shuttles: pd.DataFrame) -> DataFrame:
    """Turn marks into booleans and prices into numbers, and hand the table to Spark."""
    tidy = shuttles.copy()
    for name in ("d_check_complete", "moon_clearance_complete"):
        tidy[name] = tidy[name] == "t"
    tidy["price"] = tidy["price"].str.replace(r"[$,]", "", regex=True).astype(float)
    return SparkSession.builder.getOrCreate().createDataFrame(tidy)


def create_model_input_table(shuttles: DataFrame, companies: DataFrame, reviews: pd.DataFrame) -> DataFrame:
    """Join shuttles with their reviews and companies; rows that lack a value are left out."""
    rated = SparkSession.builder.getOrCreate().createDataFrame(reviews)
    return (
        shuttles.join(rated, shuttles["id"] == rated["shuttle_id"])
        .drop(shuttles["id"])
        .join(companies.withColumnRenamed("id", "company"), sql.col("company_id") == sql.col("company"))
        .drop("company")
        .dropna()
    )


def _share(name: str) -> Column:
    return sql.regexp_replace(name, "%", "").cast("double") / 100
