"""Fixtures: one sandbox for all end-to-end tests of a pytest worker, and small projects that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.core.store import Store
from kedro_databricks_hybrid.sandbox.core.users import Users
from tests.e2e.commands import Shell, provide_package
from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


COLLEAGUE = "ann@example.com"
"""The second user of the sandbox."""


def token_of(home: Path, name: str) -> str:
    """Return a user's token in a sandbox home; add a missing user, before the sandbox starts."""
    layout = Layout(home)
    layout.make()
    return Users(Store(layout.state), layout).add(name).token


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a sandbox with the CLI, install what small projects need on its clusters; stop it at the end."""
    scratch = tmp_path_factory.mktemp("sandbox")
    project = make_project(scratch / "starter-of-the-sandbox").path
    shell = Shell(project, scratch / "home")
    token_of(shell.home, COLLEAGUE)
    shell.ok("kedro databricks sandbox start")
    provide_package(shell.home)
    yield shell.home
    shell.ok("kedro databricks sandbox stop")


def new_project(folder: Path, home: Path) -> Shell:
    """Create a small pandas project in a folder, with a first commit and its own Git remote beside it."""
    name = folder.name
    project = make_project(folder).write(
        {
            ".gitignore": "/data/02_intermediate/\n__pycache__/\n",
            "conf/databricks/databricks.yml": f"data:\n  root: dbfs:/root/projects/{name}/data\n",
            "conf/base/databricks.yml": (
                f"code:\n  folder: /Workspace/Repos/{{user}}/{name}\ncompute:\n  cluster: sandbox\n"
            ),
        }
    )
    shell = Shell(project.path, home)
    for command in (
        "git init -q -b main",
        f"git init -q --bare -b main {folder}.git",
        f"git remote add origin {folder}.git",
        "git add .",
        'git commit -q -m "First"',
    ):
        shell.ok(command)
    return shell


@pytest.fixture
def tiny(sandbox_home: Path, tmp_path: Path) -> Iterator[Callable[[str], Shell]]:
    """Return a function that creates a small pandas project with a first commit and its own Git remote."""
    shells: list[Shell] = []

    def make(name: str = "tiny") -> Shell:
        shells.append(new_project(tmp_path / name, sandbox_home))
        return shells[-1]

    yield make
    for shell in shells:
        shell.close()
