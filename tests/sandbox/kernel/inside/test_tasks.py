"""The functions that a task calls in its process; jobs/test_tasks.py tests whole tasks."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.kernel.inside import tasks

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import sys

def main():
    print(sys.argv)


def success():
    sys.exit(0)

def failure():
    sys.exit(3)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an installed package, and undo a task's changes to this process."""
    facts = tmp_path / "their_thing-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-thing\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[console_scripts]\nbegin = their_thing:main\n")
    (tmp_path / "their_thing.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.delitem(sys.modules, "their_thing", raising=False)
    return "their-thing"


@pytest.mark.parametrize("name", ["begin", "main"])
def test_an_entry_point_or_a_function(package: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wheel task calls an entry point, or a function of the package, by name."""
    tasks.run_entry_point(package, name, ["--env=base"])
    assert capsys.readouterr().out == "['their-thing', '--env=base']\n"


def test_an_end_with_a_status(package: str) -> None:
    """Exit status 0 is a success, any other one a failure."""
    tasks.run_entry_point(package, "success", [])
    with pytest.raises(SystemExit) as end:
        tasks.run_entry_point(package, "failure", [])
    assert end.value.code == 3


def test_what_is_not_there(package: str) -> None:
    """A missing package or entry point: the task's error names it."""
    with pytest.raises(AttributeError, match="nothing"):
        tasks.run_entry_point(package, "nothing", [])
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        tasks.run_entry_point("no-such-package", "main", [])
