"""The project that `kedro new --starter=pyspark-iris` creates."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from demo import guide_edit
from kedro_databricks_hybrid.project.notebook import Content

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.processes

LAYERS = "01_raw 02_intermediate 03_primary 04_feature 05_model_input 06_models 07_model_output 08_reporting"


@pytest.mark.release
def test_the_guides_classifier_is_the_starters_with_three_neighbours(
    new_project: Callable[[str], Path], kedro: Callable[..., str]
) -> None:
    """The guide's code and `n_neighbors: 3` predict the same, and log accuracy 1.000; the project's tests have 1."""
    project = new_project("iris-databricks")
    parameters = project / "conf/base/parameters.yml"
    text = parameters.read_text(encoding="utf-8")
    parameters.write_text(text.replace("n_neighbors: 1", "n_neighbors: 3"), encoding="utf-8")
    log = kedro(project, "run")
    assert "Model has accuracy of 1.000 on test data." in log
    with_parameter = pd.read_parquet(project / "data/07_model_output/y_pred.parquet")
    metrics = json.loads((project / "data/08_reporting/metrics.json").read_text(encoding="utf-8"))
    assert metrics["accuracy"] == pytest.approx(1)
    picture = (project / "data/08_reporting/confusion_matrix.png").read_bytes()
    assert picture.startswith(b"\x89PNG")

    guide_edit.apply(project / "src/iris_databricks/nodes.py")
    log = kedro(project, "run")
    with_guide = pd.read_parquet(project / "data/07_model_output/y_pred.parquet")
    assert "Model has accuracy of 1.000 on test data." in log
    assert "Completed 3 out of 3 tasks" in log
    pd.testing.assert_frame_equal(with_guide, with_parameter)


@pytest.mark.release
def test_its_own_tests_pass(new_project: Callable[[str], Path], python: Callable[..., str]) -> None:
    """The project's tests pass with a local Spark session, without Databricks."""
    output = python(new_project("iris-databricks"), "pytest", "-q")
    assert re.search(r"\d+ passed", output)
    assert "skipped" not in output


@pytest.mark.release
@pytest.mark.parametrize("name", ["iris-databricks", "A Longer Name of 3 Words for 2 Irises"])
def test_is_linted_and_typed(
    new_project: Callable[[str], Path], python: Callable[..., str], name: str
) -> None:
    """The project passes this package's lint and type checks, whatever its name."""
    project = new_project(name)
    python(project, "ruff", "check", "--no-cache")
    python(project, "ruff", "format", "--check", "--no-cache")
    python(project, "mypy")


@pytest.mark.parametrize(
    ("name", "repository", "package"),
    [
        ("My Iris Project", "my-iris-project", "my_iris_project"),
        ("Schwertlilie Grün", "schwertlilie-grün", "schwertlilie_grün"),
        ("iris 2", "iris-2", "iris_2"),
    ],
)
def test_names(
    new_project: Callable[[str], Path], kedro: Callable[..., str], name: str, repository: str, package: str
) -> None:
    """Project names with spaces, other letters and digits become the names that Kedro derives."""
    project = new_project(name)
    assert project.name == repository
    assert (project / "src" / package / "nodes.py").is_file()
    listed = kedro(project, "registry", "list")
    assert "__default__" in listed
    assert "distributed" in listed


def test_layout(project_source: Path) -> None:
    """The files are where the guide expects them."""
    package = project_source / "src/iris_databricks"
    expected = ["settings.py", "pipeline_registry.py", "nodes.py", "pipeline.py", "__main__.py"]
    assert [name for name in expected if not (package / name).is_file()] == []
    assert [each.name for each in sorted((project_source / "data").iterdir())] == LAYERS.split()
    assert (project_source / "conf/databricks/databricks.yml").is_file()
    assert "pyspark" not in (project_source / "requirements.txt").read_text(encoding="utf-8")


def test_its_notebook_has_the_cells_that_init_writes(project_source: Path) -> None:
    """The notebook has the cells that init writes, so init adds no second one."""
    notebook = json.loads((project_source / "notebooks/iris.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells == Content(takes_jobs=False).cells


def test_git_takes_the_example_and_no_other_data(new_project: Callable[[str], Path]) -> None:
    """Git ignores results, credentials and local configuration, and keeps the example and the folders."""
    project = new_project("iris-databricks")
    for ignored in ("data/08_reporting/metrics.json", "conf/local/parameters.yml", "conf/credentials.yml"):
        (project / ignored).write_text("{}", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    listed = subprocess.run(["git", "ls-files"], cwd=project, check=True, capture_output=True, text=True)
    tracked = set(listed.stdout.splitlines())
    in_data = {path for path in tracked if path.startswith("data/")}
    assert in_data == {"data/01_raw/iris.csv", *(f"data/{each}/.gitkeep" for each in LAYERS.split())}
    assert {path for path in tracked if path.startswith("conf/local")} == {"conf/local/.gitkeep"}
    assert "conf/credentials.yml" not in tracked


def test_runs_as_a_module(project_source: Path) -> None:
    """`python -m` with the package accepts the options of `kedro run`."""
    done = subprocess.run(
        [sys.executable, "-m", "iris_databricks", "--help"],
        cwd=project_source / "src",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--pipelines" in done.stdout
