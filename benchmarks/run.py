"""Compare `kedro databricks run` on the warm sandbox with local runs, on the same machine.

    python -m benchmarks.run [--rounds 3] [--only starter|portable|overhead|chatty|latency]

- starter: a second run, compared with a cold local `kedro run` of the same project
- portable: a second run on portable kernels, compared with one on namespace kernels
- overhead: the time that a run adds to `session.run()` in the same kernel, before and after the nodes
- chatty: a node that prints 100,000 lines, compared with `session.run()` in the same kernel
- latency: the time from a record on the cluster to its line on the terminal

The rows are medians; the two sides of a row alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.results import Row, comparison, print_header, print_rows
from kedro_databricks_hybrid.sandbox import connection
from tests.e2e.commands import provide_package
from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAME_KERNEL = "in the same kernel"
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
_CHATTY = """began = time.perf_counter()
    for number in range(100_000):
        print("line", number)
    with open("/dbfs/took", "w") as file:
        file.write(str(time.perf_counter() - began))"""
_LATE = "\n    ".join(("for _ in range(20):", "    time.sleep(0.37)", f"    {_STAMP}"))
# The guide's notebook, run in the same process as `kedro databricks run`.
_SESSION = """\
import os, sys, time
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
print("STAMP", time.time())
os.chdir({path!r})
for name in [n for n in sys.modules if n.split(".")[0] == "tiny_shop"]:
    del sys.modules[name]
bootstrap_project(Path({path!r}))
with KedroSession.create(Path({path!r})) as session:
    session.run()
print("STAMP", time.time())
"""


class Bench:
    """A temporary folder with a sandbox and projects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, str] = {}  # more of them for each command

    def project(self, name: str, body: str | None = None) -> Path:
        """Create and push a project: the starter's, or one with a single node of these lines."""
        project = self.folder / name
        if body is None:
            self.shell(self.folder, f"kedro new --starter=pyspark-iris --name={name}")
            with (project / "conf" / "databricks" / "databricks.yml").open("a") as file:
                file.write(f"  root: dbfs:/root/projects/{name}/data\n")
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
        return self.timed_lines(folder, command)[0]

    def timed_lines(self, folder: Path, command: str) -> tuple[float, list[tuple[float, str]]]:
        """Run a command that must succeed; return its seconds, and each line with its time of arrival."""
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

    def in_kernel(self, project: Path) -> str:
        """Run a project by `session.run()` in the kernel of its last run; return its output."""
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.service.compute import Language

        running = connection.read(self.folder / "sandbox")
        if running is None:
            raise SystemExit("The sandbox is not running.")
        client = WorkspaceClient(host=running.host, token=running.token)
        contexts = [json.loads(each.read_text()) for each in (self.folder / "state" / "contexts").iterdir()]
        (warm,) = (each for each in contexts if each["key"].endswith(f"/{project.name}"))
        _, _, cluster_id, path = warm["key"].split()
        text = _SESSION.format(path=path)
        done = client.command_execution.execute_and_wait(
            cluster_id=cluster_id,
            context_id=warm["context"]["context_id"],
            language=Language.PYTHON,
            command=text,
        )
        output = str(done.results.data if done.results else "")
        if "STAMP" not in output:
            raise SystemExit(str(done.results))
        return output

    def took(self) -> float:
        """Return the seconds that the chatty node has just written."""
        return float((self.folder / "sandbox" / "roots" / "dbfs" / "took").read_text())

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(self.folder / "sandbox"),
            "KEDRO_DATABRICKS_STATE": str(self.folder / "state"),
            "DO_NOT_TRACK": "1",
            **self.variables,
        }


def starter(bench: Bench, rounds: int) -> list[Row]:
    """Compare a second run with a cold local one."""
    project = bench.project("iris")
    warm, cold = [], []
    for _ in range(rounds):
        warm.append(bench.shell(project, RUN))
        cold.append(bench.shell(project, "kedro run"))
    ours, theirs = median(warm), median(cold)
    row = comparison("the starter, second run", "cold `kedro run`", theirs, ours)
    return [row.held_to(">= 5", met=theirs >= 5 * ours)]


def portable(bench: Bench, rounds: int) -> list[Row]:
    """Compare a second run on portable kernels with one on namespace kernels."""
    seconds: dict[str, list[float]] = {"namespace": [], "portable": []}
    with ExitStack() as stack:
        benches = {kind: stack.enter_context(running(bench.folder / kind, kind)) for kind in seconds}
        projects = {kind: each.project("iris") for kind, each in benches.items()}
        for _ in range(rounds):
            for kind, each in benches.items():
                seconds[kind].append(each.shell(projects[kind], RUN))
    theirs, ours = (median(each) for each in seconds.values())
    row = comparison("the starter, second run on portable kernels", "namespace kernels", theirs, ours)
    return [row.held_to("<= 1.1 of it", met=ours <= 1.1 * theirs)]


def overhead(bench: Bench, rounds: int) -> list[Row]:
    """Measure the time that a run adds before the first node and after the last one."""
    project = bench.project("overhead", _STAMP)
    before: list[tuple[float, float]] = []
    after: list[tuple[float, float]] = []
    for _ in range(rounds):
        began = time.time()
        took, lines = bench.timed_lines(project, RUN)
        (node,) = stamps("".join(line for _, line in lines))
        session_began, session_node, session_ended = stamps(bench.in_kernel(project))
        before.append((session_node - session_began, node - began))
        after.append((session_ended - session_node, began + took - node))
    rows = []
    for what, pairs, target in (("to the first node", before, 1.5), ("from the last node on", after, 0.5)):
        theirs, ours = (median(side) for side in zip(*pairs, strict=True))
        added = median(mine - bare for bare, mine in pairs)
        rows.append(
            Row(
                what,
                f"`session.run()` {SAME_KERNEL}",
                f"{theirs:.2f} s",
                f"{ours:.2f} s",
                f"{added:+.2f} s",
                f"< {target} s more",
                met=added < target,
            )
        )
    return rows


def chatty(bench: Bench, rounds: int) -> list[Row]:
    """Compare a node that prints 100,000 lines."""
    project = bench.project("chatty", _CHATTY)
    ours, theirs = [], []
    for _ in range(rounds):
        bench.shell(project, RUN)
        ours.append(bench.took())
        bench.in_kernel(project)
        theirs.append(bench.took())
    slower = median(ours) / median(theirs) - 1
    return [
        Row(
            "a node that prints 100,000 lines",
            f"`session.run()` {SAME_KERNEL}",
            f"{median(theirs):.2f} s",
            f"{median(ours):.2f} s",
            f"{slower:+.0%}",
            "<= +5%",
            met=slower <= 0.05,
        )
    ]


def latency(bench: Bench, rounds: int) -> list[Row]:
    """Measure the age of a line when it arrives at the terminal."""
    project = bench.project("latency", _LATE)
    ages = []
    for _ in range(rounds):
        lines = bench.timed_lines(project, RUN)[1]
        ages += [arrived - found[0] for arrived, line in lines if (found := stamps(line))]
    return [
        Row("a line's age on the terminal, median", "", "", f"{median(ages):.2f} s"),
        Row("the oldest line's", "", "", f"{max(ages):.2f} s", "", "< 2 s", met=max(ages) < 2),
    ]


@contextmanager
def running(folder: Path, kernels: str | None = None) -> Iterator[Bench]:
    """Start a sandbox in a folder, with a kind of kernels or this machine's default; stop it at the end."""
    bench = Bench(folder)
    project = make_project(folder / "project").path
    bench.shell(project, f"kedro databricks sandbox start{f' --kernels={kernels}' if kernels else ''}")
    provide_package(bench.folder / "sandbox")
    try:
        yield bench
    finally:
        bench.shell(project, "kedro databricks sandbox stop")


def stamps(text: str) -> list[float]:
    """Return the time stamps in a text."""
    return [float(found) for found in re.findall(r"STAMP (\S+)", text)]


PARTS: dict[str, Callable[[Bench, int], list[Row]]] = {
    "starter": starter,
    "portable": portable,
    "overhead": overhead,
    "chatty": chatty,
    "latency": latency,
}


def main() -> int:
    """Start a sandbox, measure and print the table; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, action="append")
    arguments = parser.parse_args()
    print_header()
    met = True
    with tempfile.TemporaryDirectory(prefix="benchmark-run-") as folder, running(Path(folder)) as bench:
        for name in arguments.only or PARTS:
            met &= print_rows(*PARTS[name](bench, arguments.rounds))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
