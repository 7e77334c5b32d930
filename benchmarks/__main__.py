"""Run all benchmarks one after the other and write their tables: `python -m benchmarks [--quick]`.

Each benchmark is a module that prints rows of benchmarks/results.py. The two sides of a row are measured in
the same run of one module.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
SCRIPTS = {
    "transfer": ("Data to Databricks", ["--small"]),
    "run": ("Runs", ["--rounds=1"]),
    "rounds": ("Requests and rounds", []),
    "hooks": ("The hooks in a local run", ["--runs=1"]),
    "sandbox": ("The sandbox", ["--quick"]),
    "knn": ("The starter's classifier", ["--quick"]),
    "distributed": ("The starter's classifier over Spark", ["--quick"]),
}
"""The heading of each benchmark, and its options for a quick run."""
_PACKAGES = ("kedro", "databricks-sdk", "pyspark", "numpy", "scipy", "pandas", "scikit-learn", "faiss-cpu")


def main() -> int:
    """Write the tables; return 1 if a benchmark failed. Missed targets are listed, and are no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--only", choices=SCRIPTS, action="append", help="only these; writes no file")
    options = parser.parse_args()
    parts, broken = [], []
    for name in options.only or SCRIPTS:
        heading, quick = SCRIPTS[name]
        lines, status = _perform(["-m", f"benchmarks.{name}", *(quick if options.quick else [])])
        table = [line for line in lines if line.startswith("|")]
        parts.append(f"## {heading}\n\n`python -m benchmarks.{name}`\n\n" + "\n".join(table))
        if status not in {0, 1} or not any(" yes |" in line or " NO |" in line for line in table):
            broken.append(name)
    if not options.only:
        RESULTS.write_text(_document(parts, broken, quick=options.quick), encoding="utf-8")
        print(f"Wrote {RESULTS}")
    return 1 if broken else 0


def _perform(command: list[str]) -> tuple[list[str], int]:
    """Run a benchmark, print its output as it arrives, and return its lines and its exit status."""
    print(f"\n$ python {' '.join(command)}", flush=True)
    lines = []
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return lines, process.returncode


def _document(parts: list[str], broken: list[str], *, quick: bool) -> str:
    missed = [line for part in parts for line in part.splitlines() if line.endswith(" NO |")]
    said = [f"- {_sentence(line)}" for line in missed] + [f"- `{name}.py` did not finish." for name in broken]
    kind = "quick measurements, at smaller sizes than the targets are meant for" if quick else "medians"
    today = dt.datetime.now(dt.timezone.utc).date()
    sections = [
        "# Measured side by side",
        f"Measured by `make bench`, {today}: {kind}.",
        _machine(),
        "## Not met",
        "\n".join(said) or "All targets were met.",
        *parts,
    ]
    return "\n\n".join(sections) + "\n"


def _sentence(line: str) -> str:
    what, peer, theirs, ours, ratio, target, _ = (cell.strip() for cell in line.strip("|").split("|"))
    beside = f", {peer} {theirs}" if peer else ""
    return f"{what}: {ours}{beside}; {ratio and f'{ratio}, '}wanted {target}"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    machine = f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB of memory"
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"The machine: {machine}, {system}. The packages: {versions}."


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
