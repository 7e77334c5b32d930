"""The guide's notebook: four cells in two formats."""

from __future__ import annotations

import json

import pytest

from kedro_databricks_hybrid.project.notebook import Content, takes_jobs


def test_both_formats_hold_the_same_four_cells() -> None:
    """As Databricks reads its source format, and as Jupyter reads its own."""
    content = Content("src/requirements.txt", "prod")
    parts = content.as_source().split("\n# COMMAND ----------\n")
    assert parts[0].startswith("# Databricks notebook source\n# MAGIC %md\n")
    source = [part.strip().removeprefix("# MAGIC ") for part in parts[1:]]
    jupyter = json.loads(content.as_jupyter())
    code = ["".join(cell["source"]) for cell in jupyter["cells"] if cell["cell_type"] == "code"]
    assert source == code
    assert source[:3] == [
        "%pip install -r ../src/requirements.txt",
        "%load_ext kedro.ipython",
        "%reload_kedro .. --env=prod",
    ]
    assert "session.run()" in source[3]
    assert takes_jobs(content.as_source())


@pytest.mark.parametrize("content", [Content(None, None, takes_jobs=False)])
def test_a_project_that_lacks_something(content: Content) -> None:
    """Without requirements nothing is installed; without the package the guide's own last cell is left."""
    assert content.cells == ["%load_ext kedro.ipython", "%reload_kedro ..", "session.run()"]
    assert not takes_jobs(content.as_source())
