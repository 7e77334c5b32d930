"""`kedro databricks run` on the warm sandbox beside what it stands in for, in one go on one machine.

    .venv/bin/python benchmarks/run.py [--rounds 3] [--only starter|latency]

- starter: a second run beside a cold local `kedro run` of the same project
- latency: from a record's birth on the cluster to the line on the terminal

The rows are medians; the two sides of a row take turns.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = "--profile=sandbox"
RUN = f"kedro databricks run {PROFILE}"
_NODE = """\
import time

from kedro.pipeline import node, pipeline


def work(raw):
    {body}
    return raw


def register_pipelines():
    return {{"__default__": pipeline([node(work, "raw", "doubled", name="work")])}}
"""
_STAMP = 'print("STAMP", time.time(), flush=True)'
_LATE = "\n    ".join(("for _ in range(20):", "    time.sleep(0.37)", f"    {_STAMP}"))


class Bench:
    """A scratch folder with a sandbox, and projects in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def project(self, name: str, body: str | None = None) -> Path:
        """Make a project, the starter's or a tiny one with a node of these lines, and push it."""
        project = self.folder / name
        if body is None:
            self.shell(self.folder, f"kedro new --starter=pyspark-iris --name={name}")
        else:
            settings = f"code:\n  folder: /Workspace/Repos/{{user}}/{name}\n"
            root = f"data:\n  root: dbfs:/root/projects/{name}/data\n"
            make_project(project).write(
                {
                    "src/tiny_shop/pipeline_registry.py": _NODE.format(body=body),
                    "conf/base/databricks.yml": settings + "compute:\n  cluster: sandbox\n",
                    "conf/databricks/databricks.yml": root,
                }
            )
        for command in (
            "git init -q -b main",
            f"git init -q --bare -b main {self.folder / name}.git",
            f"git remote add origin {self.folder / name}.git",
            "git add .",
            "git -c user.name=b -c user.email=b@example.com commit -q -m First",
            f"kedro databricks push {PROFILE}",
            RUN,
        ):
            self.shell(project, command)
        return project

    def shell(self, folder: Path, command: str) -> float:
        """Run a command that must succeed and return its seconds."""
        return self.spoken(folder, command)[0]

    def spoken(self, folder: Path, command: str) -> tuple[float, list[tuple[float, str]]]:
        """Run a command that must succeed; return its seconds, and each line with the time that it came."""
        began = time.time()
        lines: list[tuple[float, str]] = []
        with subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines.extend((time.time(), line) for line in process.stdout or ())
        if process.returncode != 0:
            raise SystemExit(f"{command}\n{''.join(line for _, line in lines)}")
        return time.time() - began, lines

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(self.folder / "sandbox"),
            "KEDRO_DATABRICKS_STATE": str(self.folder / "state"),
            "DO_NOT_TRACK": "1",
        }


def starter(bench: Bench, rounds: int) -> None:
    """Compare a second run with a cold local one."""
    project = bench.project("iris")
    warm, cold = [], []
    for _ in range(rounds):
        warm.append(bench.shell(project, RUN))
        cold.append(bench.shell(project, "kedro run"))
    ratio = median(cold) / median(warm)
    row("cold `kedro run`", f"{median(cold):.2f} s")
    row("warm `kedro databricks run`", f"{median(warm):.2f} s")
    row("ratio", f"{ratio:.1f}", "5 or more", met=ratio >= 5)


def latency(bench: Bench, rounds: int) -> None:
    """Measure how old a line is when the terminal has it."""
    project = bench.project("latency", _LATE)
    ages = []
    for _ in range(rounds):
        lines = bench.spoken(project, RUN)[1]
        ages += [came - found[0] for came, line in lines if (found := stamps(line))]
    row("age of a line on the terminal, median", f"{median(ages):.2f} s")
    row("the oldest", f"{max(ages):.2f} s", "2 s", met=max(ages) < 2)


def stamps(text: str) -> list[float]:
    """Return the times that a text tells."""
    return [float(found) for found in re.findall(r"STAMP (\S+)", text)]


def row(what: str, value: str, target: str = "", *, met: bool | None = None) -> None:
    """Print one row of the table."""
    verdict = "" if met is None else "yes" if met else "no"
    print(f"| {what} | {value} | {target} | {verdict} |", flush=True)


PARTS: dict[str, Callable[[Bench, int], None]] = {
    "starter": starter,
    "latency": latency,
}


def main() -> None:
    """Start a sandbox, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, action="append")
    arguments = parser.parse_args()
    row("what", "measured", "target")
    print(f"|{'---|' * 4}")
    with tempfile.TemporaryDirectory(prefix="benchmark-run-") as folder:
        bench = Bench(Path(folder))
        place = make_project(Path(folder) / "place").path
        bench.shell(place, "kedro databricks sandbox start")
        try:
            for name in arguments.only or PARTS:
                PARTS[name](bench, arguments.rounds)
        finally:
            bench.shell(place, "kedro databricks sandbox stop")


if __name__ == "__main__":
    main()
