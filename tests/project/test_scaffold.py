"""The plan of `init`: what it does about a project's requirements."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import notebook, scaffold

DECLARED = '[project]\ndependencies = ["kedro"]\n'


def planned(project: Path, files: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the planned files by their paths, and the instructions, for a project of these files."""
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    plan = scaffold.plan(project, "shop", Repository(project), {"data.root": "dbfs:/root"})
    return {each.path: each.text for each in plan.changes}, plan.instructions


def test_a_project_without_requirements_gets_some(tmp_path: Path) -> None:
    """They name Kedro and this package, and the notebook installs them."""
    changes, instructions = planned(tmp_path, {})
    assert changes["requirements.txt"] == "kedro\nkedro-databricks-hybrid\n"
    assert "%pip install -r ../requirements.txt" in changes[notebook.PATH]
    assert instructions == []


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock"])
def test_no_requirements_file_is_put_before_another_one(tmp_path: Path, name: str) -> None:
    """A new requirements.txt would hide the project's requirements, so the user is told what to add where."""
    changes, instructions = planned(tmp_path, {name: DECLARED if name == "pyproject.toml" else "kedro\n"})
    assert not {"requirements.txt", name} & changes.keys()
    assert [name in each and "kedro-databricks-hybrid" in each for each in instructions] == [True]
    assert ("%pip install" in changes[notebook.PATH]) == (name == "requirements.lock")


def test_an_included_file_counts(tmp_path: Path) -> None:
    """This package is added to the file unless that or an included file names it."""
    files = {"requirements.txt": "-r more.txt\n", "more.txt": "kedro\n"}
    changes, _ = planned(tmp_path / "without", files)
    assert changes["requirements.txt"] == "-r more.txt\nkedro-databricks-hybrid\n"
    changes, instructions = planned(tmp_path / "with", {**files, "more.txt": "Kedro_Databricks.Hybrid>=0\n"})
    assert "requirements.txt" not in changes
    assert instructions == []
