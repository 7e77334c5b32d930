"""A linear model of prices, and how well it does."""

import logging
from typing import Any

import numpy as np
import pandas as pd

_log = logging.getLogger(__name__)


def split_data(table: pd.DataFrame, options: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows at random into those to learn from and those to test with."""
    rows = table.sort_values("shuttle_id", ignore_index=True)
    test = rows.sample(frac=options["test_share"], random_state=options["random_state"])
    return rows.drop(test.index), test.sort_index()


def train_model(train: pd.DataFrame, options: dict[str, Any]) -> np.ndarray:
    """Fit prices by least squares and return the weights, the constant last."""
    return np.linalg.lstsq(_design(train, options), train["price"].to_numpy(), rcond=None)[0]


def evaluate_model(
    weights: np.ndarray, test: pd.DataFrame, options: dict[str, Any], decimals: int
) -> dict[str, float]:
    """Return the share of the prices' variance that the model explains, and its mean error."""
    prices = test["price"].to_numpy()
    errors = prices - _design(test, options) @ weights
    explained = 1 - float(errors @ errors) / float(((prices - prices.mean()) ** 2).sum())
    _log.info("Model explains %.3f of the variance on test data.", explained)
    return {"r2": round(explained, decimals), "mean_error": round(float(abs(errors).mean()), decimals)}


def _design(table: pd.DataFrame, options: dict[str, Any]) -> np.ndarray:
    return np.column_stack([table[options["features"]].astype(float), np.ones(len(table))])
