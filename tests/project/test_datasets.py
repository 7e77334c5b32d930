"""The local paths that a project's pipelines read and write, from its catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.project.datasets import CatalogOptions, ProjectCatalog, UnknownDataError
from tests.project_fixtures import Project, forget_project, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAW = "  type: pandas.CSVDataset\n"
DOUBLED = "doubled:\n  type: pandas.CSVDataset\n  filepath: data/02_intermediate/doubled.csv\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Create a project that reads one dataset and writes another."""
    yield make_project(tmp_path / "tiny")
    forget_project()


def inputs(project: Project, catalog: str) -> list[str]:
    """Return the project's inputs with this catalog, as paths relative to the project."""
    project.write({"conf/base/catalog.yml": catalog})
    forget_project()
    known = ProjectCatalog(bootstrap_project(project.path), CatalogOptions()).data()
    return [str(path.relative_to(project.path)) for path in known.inputs]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  filepath: data/01_raw/raw.csv\n", ["data/01_raw/raw.csv"]),
        ("  filepath: s3://bucket/raw.csv\n", []),
        ("  filepath: /elsewhere/raw.csv\n", []),
        ("  filepath: data/01_raw/?.csv\n", ["data/01_raw/a.csv", "data/01_raw/b.csv"]),
        ("  filepath: data/01_raw/none-*.csv\n", []),
        (
            "  parts:\n    - filepath: data/01_raw/a.csv\n    - [{path: data/01_raw/deep}]\n",
            ["data/01_raw/a.csv", "data/01_raw/deep"],
        ),
    ],
    ids=["file", "address", "absolute", "pattern", "pattern without files", "list"],
)
def test_what_is_read_is_found_in_the_catalog(project: Project, raw: str, expected: list[str]) -> None:
    """Paths in the project are found at any depth, patterns become the matching files, others are ignored."""
    project.write({"data/01_raw/a.csv": "a\n", "data/01_raw/b.csv": "b\n", "data/01_raw/c.txt": "c\n"})
    assert inputs(project, f"raw:\n{RAW}{raw}{DOUBLED}") == expected


def test_datasets_that_live_in_memory_have_no_path(project: Project) -> None:
    """Datasets in memory, or not in the catalog, have no path."""
    assert inputs(project, "raw:\n  type: MemoryDataset\n") == []
    assert inputs(project, "{}\n") == []


def test_a_project_that_cannot_be_loaded_is_told(project: Project) -> None:
    """The project cannot be imported: the error has the reason, and options that need no catalog."""
    project.write({"src/tiny_shop/pipeline_registry.py": "import no_such_package\n"})
    with pytest.raises(UnknownDataError, match=r"No module named 'no_such_package'.*--all-data"):
        inputs(project, f"raw:\n{RAW}  filepath: data/01_raw/raw.csv\n")


def test_a_pipeline_that_is_not_there_is_told(project: Project) -> None:
    """Unknown pipelines are named, with the existing ones."""
    catalog = ProjectCatalog(
        bootstrap_project(project.path), CatalogOptions(pipelines=["y", "x", "__default__"])
    )
    with pytest.raises(TransferError, match=r"no pipeline x, y\. It has __default__"):
        catalog.data()
