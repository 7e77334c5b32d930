"""What the shuttles can carry."""

import pandas as pd
from matplotlib.figure import Figure


def capacity_by_type(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return one table for each type of shuttle."""
    rows = table.sort_values("shuttle_id")
    columns = ["shuttle_id", "passenger_capacity", "price"]
    return {
        str(kind).replace(" ", "_").lower(): group[columns] for kind, group in rows.groupby("shuttle_type")
    }


def plot_capacity(table: pd.DataFrame) -> Figure:
    """Draw the average number of passengers of each type."""
    means = table.groupby("shuttle_type")["passenger_capacity"].mean().sort_index()
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(means.index), list(means))
    axes.set_xlabel("Average passenger capacity")
    return figure
