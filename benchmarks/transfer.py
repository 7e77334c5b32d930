"""Compare uploads by this package, the legacy CLI, the SDK's copy, and a bare loop of requests.

    python -m benchmarks.transfer            # everything, a few minutes
    python -m benchmarks.transfer --small    # fewer and smaller files

Each sends the same files to one sandbox, once without a delay and once with 30 ms added to every request by
the sandbox's fault switch. Comparisons with the bare loop alternate three times, and the median counts. The
legacy CLI (databricks-cli 0.18, which the guide uses) is installed into a temporary environment; if that
fails, the reason is printed instead of a time.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from benchmarks.results import Row, comparison, print_header, print_rows
from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.transfer.push import Push, Selection
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Callable

CONCURRENCY = 10
_SETTLE_SECONDS = 4
"""DBFS has whole seconds: files that were written just before are read once more by the next push."""
LOOP = "a bare loop of requests"


def login(url: str, token: str) -> Config:
    """Log in to a sandbox."""
    return Config(host=url, token=token, auth_type="pat")


def workspace(url: str, token: str) -> Workspace:
    """Log in to a sandbox as this package's commands do."""
    return Workspace(Client(login(url, token)), "user@example.com", None)


class Sandbox:
    """A sandbox process with a delay, which counts its requests."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
        )
        deadline = time.monotonic() + 60
        while (running := connection.read(home)) is None:
            assert time.monotonic() < deadline, "the sandbox did not start"
            time.sleep(0.05)
        self.url, self.token = running.host, running.token
        self._control = requests.Session()
        self._control.headers["Authorization"] = f"Bearer {running.token}"

    def set_delay(self, delay: float) -> None:
        """Add seconds to every request from now on, and count requests from zero."""
        self._control.delete(f"{self.url}/sandbox/faults").raise_for_status()
        fault: dict[str, str | float] = {"effect": "delay", "seconds": delay, "times": 0}
        self._control.post(f"{self.url}/sandbox/faults", json=fault).raise_for_status()

    @property
    def requests(self) -> int:
        """The number of requests since `set_delay`."""
        rules = self._control.get(f"{self.url}/sandbox/faults").json()["faults"]
        return int(rules[0]["calls"])

    def client(self) -> WorkspaceClient:
        """Log in with the SDK's own client."""
        return WorkspaceClient(config=login(self.url, self.token))

    def push(self, data: Path, root: str) -> Push:
        """Return a push of this package."""
        return Push(open_tree(workspace(self.url, self.token), root), data, root)

    def stop(self) -> None:
        """Stop the sandbox."""
        self._process.terminate()
        self._process.wait()


def medians(candidates: dict[str, Callable[[int], float]], rounds: int = 3) -> dict[str, float]:
    """Return the median seconds of each; they alternate, so that other load affects all of them."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, run in candidates.items():
            taken[name].append(run(number))
    return {name: statistics.median(each) for name, each in taken.items()}


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.monotonic()
    function()
    return time.monotonic() - began


def pushed(push: Push) -> None:
    """Push the whole data folder."""
    push.perform(push.prepare(Selection()))


def make_files(folder: Path, count: int, size: int, per_folder: int) -> Path:
    """Write files into folders of one layer, old enough for their digests to be stored."""
    for number in range(count):
        path = folder / "01_raw" / f"{number // per_folder:03d}" / f"{number:05d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big") + os.urandom(size - 8))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


def bare_puts(client: WorkspaceClient, data: Path, target: str) -> None:
    """Send the files to DBFS by one request each, ten at a time, and nothing else."""

    def put(path: Path) -> None:
        encoded = base64.b64encode(path.read_bytes()).decode()
        client.dbfs.put(f"{target}/{path.relative_to(data).as_posix()}", contents=encoded, overwrite=True)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(put, [path for path in (data / "01_raw").rglob("*") if path.is_file()]))


def bare_uploads(client: WorkspaceClient, data: Path, target: str) -> None:
    """Send the files to a volume by one request each, ten at a time, and nothing else."""

    def put(path: Path) -> None:
        with path.open("rb") as file:
            client.files.upload(f"{target}/{path.relative_to(data).as_posix()}", file, overwrite=True)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(put, [path for path in (data / "01_raw").rglob("*") if path.is_file()]))


def sdk_copy(client: WorkspaceClient, data: Path, target: str) -> None:
    """Copy with the SDK, which sends one file after the other."""
    source, there = f"file:{data / '01_raw'}", f"dbfs:{target}"
    client.dbfs.copy(source, there, recursive=True, overwrite=True)


def legacy_cli(scratch: Path) -> Path | str:
    """Install the legacy CLI; return its program, or the reason why that failed."""
    venv = scratch / "legacy"
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin" / "pip"), "install", "-q", "databricks-cli==0.18.0", "setuptools<80"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return venv / "bin" / "databricks"


def legacy_copy(program: Path, sandbox: Sandbox, data: Path, target: str) -> None:
    """Copy as the guide does. The CLI drops the host's port, so its requests are patched to have it."""
    patch = program.parent.parent / "patch"
    patch.mkdir(exist_ok=True)
    (patch / "sitecustomize.py").write_text(
        "import os, requests.sessions as s\n"
        "send = s.Session.request\n"
        "def request(self, method, url, *a, **k):\n"
        "    return send(self, method, url.replace('http://127.0.0.1/', os.environ['BENCH_URL'] + '/')"
        ".replace('https://127.0.0.1/', os.environ['BENCH_URL'] + '/'), *a, **k)\n"
        "s.Session.request = request\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(patch),
        "BENCH_URL": sandbox.url,
        "DATABRICKS_HOST": sandbox.url,
        "DATABRICKS_TOKEN": sandbox.token,
    }
    done = subprocess.run(
        [
            str(program),
            "fs",
            "cp",
            "--recursive",
            "--overwrite",
            str(data / "01_raw"),
            f"dbfs:{target}/01_raw",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def many_small(sandbox: Sandbox, scratch: Path, count: int, delay: float, cli: Path | str) -> list[Row]:
    """Send many files of 4 KB, and once more unchanged; the targets are for requests with a delay."""
    name = f"small-{delay}"
    what = f"{count} files of 4 KB, {delay * 1000:.0f} ms a request"
    folders = [make_files(scratch / f"{name}-{number}", count, 4096, 250) for number in range(3)]
    sandbox.set_delay(delay)

    def bare(number: int) -> float:
        target = f"/bench/{name}-{number}-floor"
        return seconds(lambda: bare_puts(sandbox.client(), folders[number], target))

    def ours(number: int) -> float:
        return seconds(lambda: pushed(sandbox.push(folders[number], f"dbfs:/bench/{name}-{number}")))

    def again(number: int) -> float:
        time.sleep(_SETTLE_SECONDS)
        return ours(number)

    took = medians({"floor": bare, "ours": ours, "settled": again, "again": ours})
    sandbox.set_delay(delay)
    ours(0)
    asked, layers = sandbox.requests, 2 + sum(1 for path in (folders[0] / "01_raw").iterdir())
    first, unchanged, same = took["ours"], took["again"], f"{what}, unchanged"
    copied = seconds(lambda: sdk_copy(sandbox.client(), folders[0], f"/bench/{name}-sdk"))
    rows = [
        comparison(what, LOOP, took["floor"], first),
        comparison(what, "SDK's `dbfs.copy(recursive=True)`", copied, first),
        Row(f"{same}: requests", "folders", f"{layers}", f"{asked}").held_to(
            f"<= {layers + 3}", met=asked <= layers + 3
        ),
    ]
    if delay:
        rows[0] = rows[0].held_to("<= 1.3 of it", met=first <= 1.3 * took["floor"])
    if isinstance(cli, str):
        return [*rows, Row(what, "legacy CLI", f"not measured: {cli}", f"{first:.2f} s")]
    legacy = seconds(lambda: legacy_copy(cli, sandbox, folders[0], f"/bench/{name}-legacy"))
    beside_cli = [
        comparison(what, "legacy CLI", legacy, first),
        comparison(same, "legacy CLI (it sends all)", legacy, unchanged),
    ]
    if delay:
        beside_cli[0] = beside_cli[0].held_to(">= 6", met=legacy >= 6 * first)
        beside_cli[1] = beside_cli[1].held_to(">= 50", met=legacy >= 50 * unchanged)
    return [*rows, *beside_cli]


def one_changed(sandbox: Sandbox, scratch: Path, count: int) -> list[Row]:
    """One changed among many: requests, the time, and the processor's time that is our own."""
    sandbox.set_delay(0.0)
    data = make_files(scratch / "many", count, 64, 500)
    pushed(sandbox.push(data, "dbfs:/bench/many"))
    (data / "01_raw" / "000" / "00000.bin").write_bytes(b"changed")
    push = sandbox.push(data, "dbfs:/bench/many")
    sandbox.set_delay(0.0)
    began = time.process_time()
    pushed(push)
    own = time.process_time() - began
    asked, folders = sandbox.requests, 2 + sum(1 for path in (data / "01_raw").iterdir())
    what, most = f"one changed among {count}", folders + 4
    return [
        Row(f"{what}: time of our own", "", "", f"{own:.2f} s", "", "< 3 s", own < 3),
        Row(f"{what}: requests", "folders", f"{folders}", f"{asked}", "", f"<= {most}", asked <= most),
    ]


def large(sandbox: Sandbox, scratch: Path, count: int, size: int) -> list[Row]:
    """Send large files to a volume."""
    rows = []
    for delay in (0.0, 0.03):
        folders = [make_files(scratch / f"large-{delay}-{number}", count, size, 1000) for number in range(3)]
        root = f"/Volumes/main/default/data/large-{delay}"
        sandbox.set_delay(delay)

        def bare(number: int, folders: list[Path] = folders, root: str = root) -> float:
            return seconds(lambda: bare_uploads(sandbox.client(), folders[number], f"{root}-{number}-floor"))

        def ours(number: int, folders: list[Path] = folders, root: str = root) -> float:
            return seconds(lambda: pushed(sandbox.push(folders[number], f"{root}-{number}")))

        took = medians({"floor": bare, "ours": ours})
        what = f"{count} files of {size / 1e6:.0f} MB to a volume, {delay * 1000:.0f} ms a request"
        row = comparison(what, LOOP, took["floor"], took["ours"])
        rows.append(row.held_to("<= 1.2 of it", met=took["ours"] <= 1.2 * took["floor"]))
    return rows


def memory(sandbox: Sandbox, scratch: Path, size: int) -> list[Row]:
    """Send one file from a new process, which prints its peak of memory."""
    sandbox.set_delay(0.0)
    rows = []
    for number, root in enumerate(("dbfs:/bench/memory", "/Volumes/main/default/data/memory")):
        data = scratch / f"memory-{number}"
        (data / "01_raw").mkdir(parents=True)
        with (data / "01_raw" / "one.bin").open("wb") as file:
            file.truncate(size)
        peaks = []
        for chosen in ([], [str(data / "01_raw")]):
            command = [
                sys.executable,
                __file__,
                "--one",
                sandbox.url,
                sandbox.token,
                root,
                str(data),
                *chosen,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(float(done.stdout))
        idle, peak = peaks
        what = (
            f"{size / 1e6:.0f} MB to {'DBFS' if root.startswith('dbfs:') else 'a volume'}: memory at the peak"
        )
        rows.append(
            Row(what, "nothing to send", f"{idle:.0f} MB", f"{peak:.0f} MB", "", "< 120 MB", peak < 120)
        )
    return rows


def one(url: str, token: str, root: str, data: str, *chosen: str) -> None:
    """Push once and print this process's peak of memory."""
    push = Push(open_tree(workspace(url, token), root), Path(data), root)
    push.perform(push.prepare(Selection(chosen=[Path(path) for path in chosen])))
    # getrusage would include the memory that the process had before it executed this program.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak[1]) / 1024 if peak else "nan")


def main() -> int:
    """Measure everything and print the table; return 1 if a target was missed."""
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="fewer and smaller files")
    small = parser.parse_args().small
    print_header()
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as name:
        scratch = Path(name)
        sandbox = Sandbox(scratch / "home")
        try:
            cli = legacy_cli(scratch)
            met = all(
                [
                    *(
                        print_rows(*many_small(sandbox, scratch, 200 if small else 1000, delay, cli))
                        for delay in (0.0, 0.03)
                    ),
                    print_rows(*one_changed(sandbox, scratch, 1000 if small else 10_000)),
                    print_rows(*large(sandbox, scratch, 4 if small else 10, 20_000_000)),
                    print_rows(*memory(sandbox, scratch, 100_000_000 if small else 1_000_000_000)),
                ]
            )
        finally:
            sandbox.stop()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
