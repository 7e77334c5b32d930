"""The functions that a task calls in its process; whole tasks are in jobs/test_tasks.py."""

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
    """Return the name of an installed package; undo what a task changes in this process."""
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
    """By the name of an entry point, or of a function of the package, whose name begins the arguments."""
    tasks.run_entry_point(package, name, ["--env=base"])
    assert capsys.readouterr().out == "['their-thing', '--env=base']\n"


def test_an_end_with_a_status(package: str) -> None:
    """Status 0 is success, any other status a failure."""
    tasks.run_entry_point(package, "success", [])
    with pytest.raises(SystemExit) as end:
        tasks.run_entry_point(package, "failure", [])
    assert end.value.code == 3


def test_what_is_not_there(package: str) -> None:
    """The error of the task names it."""
    with pytest.raises(AttributeError, match="nothing"):
        tasks.run_entry_point(package, "nothing", [])
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        tasks.run_entry_point("no-such-package", "main", [])
