"""Kedro finds the starter by its alias."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

from kedro.framework.cli.starters import KedroStarterSpec


def test_kedro_finds_the_starter_by_its_alias() -> None:
    """`kedro new --starter=pyspark-iris` reads this entry point, and cookiecutter this folder."""
    (point,) = entry_points(group="kedro.starters", name="databricks-hybrid")
    (spec,) = point.load()
    assert isinstance(spec, KedroStarterSpec)
    assert spec.alias == "pyspark-iris"
    options = json.loads((Path(spec.template_path) / "cookiecutter.json").read_text())
    assert {"project_name", "repo_name", "python_package", "kedro_version"} <= set(options)
