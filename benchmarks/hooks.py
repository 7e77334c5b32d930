"""Compare `kedro run` of a small pandas project with and without the package.

python -m benchmarks.hooks [--runs 5]

Both run in this environment. "Without" hides the package from importlib.metadata, so Kedro does not load its
entry points. The runs alternate, and the minimum counts, because other load on the machine only adds time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.results import Row, print_header, print_rows

TARGET_SECONDS = 0.1
_HIDE = """\
from importlib import metadata

_all = metadata.distributions


def _without(**options):
    # By the folder's name: reading the metadata of each distribution would take longer than what is measured.
    return (each for each in _all(**options) if "kedro_databricks_hybrid" not in str(each._path))


metadata.distributions = _without
"""
_PIPELINES = """\
from kedro.pipeline import node, pipeline


def register_pipelines():
    return {"__default__": pipeline([node(lambda raw: raw * 2, "raw", "doubled", name="double")])}
"""
_CATALOG = """\
raw: {type: pandas.CSVDataset, filepath: raw.csv}
doubled: {type: pandas.CSVDataset, filepath: doubled.csv}
"""
_PYPROJECT = """\
[tool.kedro]
package_name = "small"
project_name = "Small"
kedro_init_version = "1.0.0"
"""


def main() -> int:
    """Print the seconds of both and their difference; return 1 if that is above the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        project, hidden = Path(scratch, "project"), Path(scratch, "hidden")
        _write(project, hidden)
        taken: dict[str, list[float]] = {"with": [], "without": []}
        for number in range(runs + 1):
            for side, seconds in taken.items():
                spent, log = _run(project, hidden if side == "without" else None)
                assert ("kedro_databricks_hybrid" in log) == (side == "with"), log
                if number:  # the first round fills caches
                    seconds.append(spent)
    ours, theirs = (min(taken[side]) for side in ("with", "without"))
    added = ours - theirs
    print_header()
    met = print_rows(
        Row(
            "`kedro run` without Spark, CPU",
            "without the package",
            f"{theirs:.2f} s",
            f"{ours:.2f} s",
            f"{added:+.2f} s",
            f"< {TARGET_SECONDS:g} s more",
            met=added < TARGET_SECONDS,
        )
    )
    return 0 if met else 1


def _write(project: Path, hidden: Path) -> None:
    files = {
        project / "pyproject.toml": _PYPROJECT,
        project / "raw.csv": "a\n1\n",
        project / "conf/base/catalog.yml": _CATALOG,
        project / "conf/local/credentials.yml": "{}\n",
        project / "src/small/__init__.py": "",
        project / "src/small/settings.py": "",
        project / "src/small/pipeline_registry.py": _PIPELINES,
        hidden / "sitecustomize.py": _HIDE,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _run(project: Path, hidden: Path | None) -> tuple[float, str]:
    """Run the pipeline; return its CPU seconds, and the imported modules of this package and of Spark."""
    script = (
        "import sys, time\n"
        "from kedro.framework.cli.cli import main\n"
        "sys.argv = ['kedro', 'run']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    packages = ('kedro_databricks', 'pyspark')\n"
        "    print('\\n', [each for each in sys.modules if each.startswith(packages)])\n"
        "    print(time.process_time())\n"
    )
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    if hidden:
        environment["PYTHONPATH"] = str(hidden)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, modules, seconds = done.stdout.splitlines()
    assert "pyspark" not in modules, modules
    return float(seconds), modules


if __name__ == "__main__":
    sys.exit(main())
