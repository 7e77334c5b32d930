"""A project that is created from the starter, and its classifier."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import fork_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType



def forked_kedro() -> str:
    """Return the program `kedro` whose processes are forked."""
    return str(fork_server.program_folder() / "kedro")


def in_folder(folder: Path, *command: str) -> str:
    """Run a command that must succeed and must not ask questions, and return its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "DO_NOT_TRACK": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def kedro() -> Callable[..., str]:
    """Run Kedro in a folder."""
    return lambda folder, *arguments: in_folder(folder, forked_kedro(), *arguments)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run a module of this environment in a folder; mypy keeps what it knows of libraries."""
    kept = f"MYPY_CACHE_DIR={tmp_path_factory.mktemp('mypy')}"
    return lambda folder, *arguments: in_folder(folder, "env", kept, sys.executable, "-m", *arguments)


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[str], Path]:
    """Create a project of the given name, and return its folder."""

    def make(name: str) -> Path:
        before = set(tmp_path.iterdir())
        in_folder(tmp_path, forked_kedro(), "new", "--starter=pyspark-iris", f"--name={name}")
        (made,) = set(tmp_path.iterdir()) - before
        return made

    return make


@pytest.fixture(scope="session")
def project_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a project that tests only read."""
    folder = tmp_path_factory.mktemp("source")
    in_folder(folder, forked_kedro(), "new", "--starter=pyspark-iris", "--name=iris-databricks")
    return folder / "iris-databricks"


@pytest.fixture(scope="session")
def starter(project_source: Path) -> ModuleType:
    """Return the package of that project, with its modules nodes and neighbours imported."""
    name = "iris_from_the_starter"
    folder = project_source / "src/iris_databricks"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    importlib.import_module(f"{name}.nodes")
    return package
