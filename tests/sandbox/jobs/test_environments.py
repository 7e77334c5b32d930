"""Which dependencies of a serverless task count as equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.app import Sandbox
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from kedro_databricks_hybrid.sandbox.jobs.environments import key_of

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment

WHEEL = "/Volumes/main/default/data/ours-1-py3-none-any.whl"
LIST = "/Workspace/Shared/requirements.txt"


@pytest.fixture
def made(tmp_path: Path) -> NotebookEnvironment:
    """Return an environment, whose files are not made, with a wheel and a list of requirements."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    environment = sandbox.notebook_environment("1", sandbox.user)
    for path, text in ((WHEEL, "one"), (LIST, f"a==1  # note\n\n{WHEEL}\n")):
        file = environment.on_machine(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return environment


@pytest.mark.parametrize(
    "lines",
    [
        ["a"],
        ["a==1", "b[x, y]>=2,<3; python_version>'3'"],
        [WHEEL],
        [f"-r {LIST}"],
        ["--index-url=x", "a", "# b"],
    ],
)
def test_dependencies_that_stay_the_same(made: NotebookEnvironment, lines: list[str]) -> None:
    """Equal dependencies have the same key; other lines or other contents of a file another one."""
    key = key_of(made, lines)
    assert key is not None
    assert key_of(made, lines) == key
    assert key_of(made, [*lines, "c"]) != key
    made.on_machine(WHEEL).write_text("two")
    assert (key_of(made, lines) == key) is not any(name in str(lines) for name in (WHEEL, LIST))


@pytest.mark.parametrize(
    "line",
    [
        "-e /Workspace/Shared",
        "/Workspace/Shared",
        "/Volumes/main/default/data/none.whl",
        "./ours.whl",
        "git+https://example.com/r.git",
        "a @ https://example.com/a.whl",
        "--find-links /Volumes/main/default/data",
        "-r requirements.txt",
    ],
)
def test_dependencies_that_may_change(made: NotebookEnvironment, line: str) -> None:
    """Dependencies that may change are installed each time."""
    assert key_of(made, [line]) is None
