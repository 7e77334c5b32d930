"""Another plugin with a `databricks` group: both plugins' commands work, whichever loads first."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

PLUGIN = """\
import click


@click.group(name="kedro-databricks")
def commands():
    pass


@commands.group(name="databricks")
def databricks_commands():
    \"\"\"Theirs.\"\"\"


@databricks_commands.command()
def bundle():
    \"\"\"Bundle it.\"\"\"
    click.echo("their bundle")


@databricks_commands.command()
def init():
    \"\"\"Their init.\"\"\"
    click.echo("their init")
"""
# Calls Kedro's CLI with the plugins in a given order.
CALL = """\
import importlib.metadata, sys
import kedro.framework.cli.utils as utils
from kedro.framework.cli.cli import main
order = sys.argv.pop(1)
found = utils._get_entry_points
last = order == "theirs-last"
utils._get_entry_points = lambda name: sorted(found(name), key=lambda each: each.name, reverse=last)
sys.argv[0] = "kedro"
main()
"""


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """Create a folder with a distribution that registers a group of the same name."""
    folder = tmp_path / "site"
    info = folder / "kedro_databricks-0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kedro-databricks\nVersion: 0.9\n")
    (info / "entry_points.txt").write_text(
        "[kedro.project_commands]\nbundles = their_plugin:commands\nzebra = their_broken_plugin:commands\n"
    )
    (folder / "their_plugin.py").write_text(PLUGIN)
    (folder / "their_broken_plugin.py").write_text("raise RuntimeError('broken')\n")
    return folder


def call(project: Path, site_packages: Path, order: str, *arguments: str) -> str:
    """Call kedro with both plugins."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, order, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site_packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("order", ["theirs-first", "theirs-last"])
def test_both_sets_of_commands_are_reachable(tmp_path: Path, site_packages: Path, order: str) -> None:
    """A command that only one plugin has works directly; the other plugin's group works under its name."""
    project = make_project(tmp_path / "tiny").path
    assert "their bundle" in call(project, site_packages, order, "databricks", "bundle")
    assert "their init" in call(project, site_packages, order, "databricks", "kedro-databricks", "init")
    ours = call(project, site_packages, order, "databricks", "init", "--help")
    assert "--git-token-env" in ours
    listed = call(project, site_packages, order, "databricks", "--help")
    assert all(f"  {name} " in listed for name in ("push", "doctor", "bundle", "kedro-databricks"))


def test_the_doctor_explains(tmp_path: Path, site_packages: Path) -> None:
    """The finding names the plugin and how to call its commands."""
    project = make_project(tmp_path / "tiny").path
    said = call(project, site_packages, "theirs-first", "databricks", "doctor")
    assert "kedro-databricks also has a `kedro databricks` group" in said
    assert "kedro databricks kedro-databricks <command>" in said
