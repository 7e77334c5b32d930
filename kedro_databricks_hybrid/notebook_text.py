"""The guide's notebook: the four cells with which people and jobs run the project there. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

NAME = PurePosixPath("notebooks/run_on_databricks")
"""Where it lies in the project, without its ending, as Databricks knows it."""

PATH = f"{NAME}.py"
"""Where it lies in the project, in Databricks' source format."""

JUPYTER_PATH = f"{NAME}.ipynb"
"""Where it lies as a Jupyter notebook."""

_INTRODUCTION = """\
Attach this notebook to a cluster and run its cells in turn. After you change the code, run the last
two again. It works from the Git folder that it lies in, whoever's that is."""

_RUN_OR_JOB = """\
from kedro_databricks_hybrid.job_task import ran_as_job

if not ran_as_job():  # what a job's parameters ask for, if a job runs this
    session.run()"""


@dataclass(frozen=True)
class Content:
    """What the notebook of a project says.

    Args:
        requirements: The requirements file, relative to the project; None where it has none.
        env: The Kedro env that it loads; None for Kedro's default.
        takes_jobs: Whether the project has this package on the cluster, so that jobs can run the notebook.
    """

    requirements: str | None = "requirements.txt"
    env: str | None = "databricks"
    takes_jobs: bool = True

    @property
    def cells(self) -> list[str]:
        """The cells of code."""
        install = [f"%pip install -r ../{self.requirements}"] if self.requirements else []
        env = f" --env={self.env}" if self.env else ""
        run = _RUN_OR_JOB if self.takes_jobs else "session.run()"
        return [*install, "%load_ext kedro.ipython", f"%reload_kedro ..{env}", run]

    def as_source(self) -> str:
        """Return the notebook in Databricks' source format."""
        introduction = "\n".join(f"# MAGIC {line}" for line in ("%md", *_INTRODUCTION.splitlines()))
        cells = [f"# MAGIC {cell}" if cell.startswith("%") else cell for cell in self.cells]
        return (
            "# Databricks notebook source\n"
            + "\n\n# COMMAND ----------\n\n".join([introduction, *cells])
            + "\n"
        )

    def as_jupyter(self) -> str:
        """Return the notebook in Jupyter's format."""
        cells = [_cell(0, "markdown", _INTRODUCTION)]
        cells += [_cell(number, "code", text) for number, text in enumerate(self.cells, 1)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        document = {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return json.dumps(document, indent=1) + "\n"


def takes_jobs(text: str) -> bool:
    """Tell whether a notebook does what a job's parameters ask for."""
    return "ran_as_job()" in text


def _cell(number: int, kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": text.splitlines(keepends=True)}
