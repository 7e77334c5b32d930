"""The generated notebook: four cells in two formats."""

from __future__ import annotations

import json

import pytest

from kedro_databricks_hybrid.project.notebook import Content, takes_jobs


def test_both_formats_hold_the_same_four_cells() -> None:
    """Databricks' source format and Jupyter's format have the same four cells."""
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
    """Without requirements there is no install cell; without this package the last cell is the guide's."""
    assert content.cells == ["%load_ext kedro.ipython", "%reload_kedro ..", "session.run()"]
    assert not takes_jobs(content.as_source())
