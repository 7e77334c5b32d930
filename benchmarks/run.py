"""A second `kedro databricks run` on the warm sandbox beside a cold `kedro run` of the same project.

    .venv/bin/python benchmarks/run.py [--rounds 3]

Both run the starter's default pipeline in turn, on one machine in one go; the table shows the medians
of their wall time and their ratio.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROFILE = "--profile=sandbox"
TARGET = 3.0


def main() -> None:
    """Make a project and a sandbox, take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="benchmark-run-") as folder:
        scratch = Path(folder)
        shell(scratch, "kedro new --starter=pyspark-iris --name=iris")
        project = scratch / "iris"
        for command in (
            "git init -q -b main",
            f"git init -q --bare -b main {scratch / 'remote.git'}",
            f"git remote add origin {scratch / 'remote.git'}",
            "git add .",
            "git -c user.name=b -c user.email=b@example.com commit -q -m First",
            "kedro databricks sandbox start",
        ):
            shell(project, command)
        try:
            shell(project, f"kedro databricks push {PROFILE}")
            shell(project, f"kedro databricks run {PROFILE}")
            warm, cold = [], []
            for _ in range(rounds):
                warm.append(shell(project, f"kedro databricks run {PROFILE}"))
                cold.append(shell(project, "kedro run"))
        finally:
            shell(project, "kedro databricks sandbox stop")
    ratio = median(cold) / median(warm)
    print(f"| cold `kedro run` | warm `kedro databricks run` | ratio | target | met |\n|{'---|' * 5}")
    verdict = "yes" if ratio >= TARGET else "no"
    print(f"| {median(cold):.1f} s | {median(warm):.1f} s | {ratio:.1f} | {TARGET:.0f} or more | {verdict} |")


def shell(folder: Path, command: str) -> float:
    """Run a command that must succeed and return its seconds."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "KEDRO_DATABRICKS_SANDBOX_HOME": str(folder.parent / "sandbox"),
        "KEDRO_DATABRICKS_STATE": str(folder.parent / "state"),
        "DO_NOT_TRACK": "1",
    }
    began = time.perf_counter()
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{command}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
