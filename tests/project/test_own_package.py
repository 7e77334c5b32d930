"""This package as a wheel: whether it is needed, what it contains, and how requirements refer to it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid import __version__
from kedro_databricks_hybrid.project import own_package
from kedro_databricks_hybrid.project.requirements import find_requirements, fit
from kedro_databricks_hybrid.run.compute import serverless_dependencies
from tests.project_fixtures import MemoryFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = PurePosixPath("/Workspace/Users/me/.kedro-hybrid/x.whl")


@pytest.fixture(autouse=True)
def _clear_cache() -> Iterator[None]:
    """Clear the cached version before and after each test."""
    own_package.version.cache_clear()
    yield
    own_package.version.cache_clear()


def test_the_wheel_is_one_that_pip_installs(tmp_path: Path) -> None:
    """Install the wheel with pip, offline: module, version with a hash, and dependencies are right.

    The same files give the same bytes.
    """
    built = own_package.version()
    assert built is not None
    assert built.startswith(f"{__version__}+")
    content = own_package.wheel()
    assert content == own_package.wheel()
    file = tmp_path / f"kedro_databricks_hybrid-{built}-py3-none-any.whl"
    file.write_bytes(content)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, f"--target={tmp_path / 'there'}", str(file)], check=True)
    ask = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from importlib.metadata import distribution, entry_points\n"
        "import kedro_databricks_hybrid.job_task as found\n"
        "print(found.__file__, distribution('kedro-databricks-hybrid').version)\n"
        "print(*distribution('kedro-databricks-hybrid').requires)\n"
    )
    there = str(tmp_path / "there")
    said = subprocess.run(
        [sys.executable, "-c", ask, there], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert said.startswith(f"{there}/kedro_databricks_hybrid/job_task.py {built}\n")
    assert "kedro<2,>=1.0" in said


def test_another_content_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other files give another version, so that pip replaces an earlier build."""
    first = own_package.version()
    own_package.version.cache_clear()
    monkeypatch.setattr(own_package, "_files", lambda: {"__init__.py": b"# changed\n"})
    assert own_package.version() != first


def test_what_an_index_has_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that was installed from an index (no direct_url.json) needs no wheel."""
    monkeypatch.setattr(metadata.PathDistribution, "read_text", lambda *_: None)
    assert own_package.version() is None


def test_the_wheel_takes_the_place_of_the_requirement() -> None:
    """The wheel replaces this package's requirement, for pip and for serverless; the rest stays."""
    text = b"kedro\nkedro-databricks-hybrid[spark,docs]>=0.1  # ours\nnumpy<2\n"
    found = find_requirements(PurePosixPath("/x"), MemoryFiles({"requirements.txt": text}))
    assert found is not None
    assert found.includes_own_package
    ours = found.with_own_wheel(WHEEL)
    assert ours.digest != found.digest
    assert fit(ours, "17.3.x-scala2.13").lines == ["kedro", f"{WHEEL}[docs]  # ours", "numpy<2"]
    assert serverless_dependencies(ours, "4").lines == ["kedro", f"{WHEEL}[docs]", "numpy<2"]


@pytest.mark.parametrize(
    "text", [b"kedro\n", b"kedro-databricks-hybrid @ git+https://example.com/x\n", b"-e .\n"]
)
def test_a_project_that_asks_for_no_release_is_left(text: bytes) -> None:
    """Projects without this package, or with an address of it, get no wheel."""
    found = find_requirements(PurePosixPath("/x"), MemoryFiles({"requirements.txt": text}))
    assert found is not None
    assert not found.includes_own_package
