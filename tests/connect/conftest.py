"""Fixtures: the real client of Databricks Connect here, and a sandbox in the main environment.

databricks-connect replaces pyspark, so these tests run only in `.venv-connect`: `make test-connect`.
"""

from __future__ import annotations

import os
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_PYTHON = os.environ.get("SANDBOX_PYTHON", str(_ROOT / ".venv/bin/python"))
_START_SECONDS = 60

try:
    metadata.version("databricks-connect")
except metadata.PackageNotFoundError:
    collect_ignore_glob = ["test_*.py"]  # the main environment, which has pyspark


def _measured() -> list[str]:
    """Return variables that let coverage.py measure the sandbox too, if it measures these tests."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        return []
    files = [f"--rcfile={_ROOT / 'pyproject.toml'}", f"--data-file={_ROOT / '.coverage'}"]
    return ["-m", "coverage", "run", "--parallel-mode", *files]


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a sandbox with the main environment."""
    home = tmp_path_factory.mktemp("sandbox") / "home"
    server = subprocess.Popen(
        [_PYTHON, *_measured(), "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
    )
    deadline = time.monotonic() + _START_SECONDS
    while connection.read(home) is None:
        assert server.poll() is None, "the sandbox did not start"
        assert time.monotonic() < deadline, "the sandbox did not start in time"
        time.sleep(0.05)
    yield home
    server.terminate()
    server.wait(timeout=60)
