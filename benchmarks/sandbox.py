"""Start time and memory of the sandbox, and the number of small requests that it answers per second.

    python -m benchmarks.sandbox [--quick]

The peer is a bare Starlette endpoint on the same uvicorn. On Linux each server has one core and the client
another one; elsewhere they share. The servers are measured alternately. Each of four connections sends
a request when the answer to the previous one has arrived. The answers are counted per second of the server's
processor time, so that other load on the machine does not matter.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Row, print_header, print_rows
from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 4
READY_SECONDS, RESIDENT_MB, REQUESTS_A_SECOND = 2.0, 150.0, 500.0
PATHS = (
    "/api/2.0/preview/scim/v2/Me",
    "/api/2.0/dbfs/get-status?path=/tmp",
    "/api/2.1/clusters/get?cluster_id=0101-120000-sandbox1",
    "/api/2.0/workspace/get-status?path=/Shared",
)
FLOOR = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    return JSONResponse({"path": "/tmp", "is_dir": True, "file_size": 0})

app = Starlette(routes=[Route("/{rest:path}", answer)])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), http="h11", access_log=False, log_level="error")
"""


class Server(NamedTuple):
    """A running server."""

    pid: int
    port: int
    token: str

    def processor_seconds(self) -> float:
        """Return the processor time of its process so far, 0 where the system does not report it."""
        path = Path(f"/proc/{self.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the table; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three starts, and rounds of a second")
    quick = parser.parse_args().quick
    starts, rounds, seconds = (3, 3, 1.0) if quick else (7, 5, 3.0)
    began = [start_and_stop() for _ in range(starts)]
    ready, used, resident = (statistics.median(values) for values in zip(*began, strict=True))
    rates: dict[str, list[float]] = {"floor": [], **{path: [] for path in PATHS}}
    with tempfile.TemporaryDirectory() as home, sandbox(Path(home)) as found, floor() as bare:
        own = Server(found.pid, int(found.host.rpartition(":")[2]), found.token)
        for _ in range(rounds):
            rates["floor"].append(requests_a_second(bare, "/", seconds))
            for path in PATHS:
                rates[path].append(requests_a_second(own, path, seconds))
    return report(ready, used, resident, {name: statistics.median(found) for name, found in rates.items()})


def report(ready: float, used: float, resident: float, rates: dict[str, float]) -> int:
    """Print the measurements and their targets."""
    slowest = min(rates[path] for path in PATHS)
    print_header()
    met = print_rows(
        Row("ready", "", "", f"{ready:.2f} s", "", f"< {READY_SECONDS:g} s", ready < READY_SECONDS),
        Row(
            "ready, on a processor",
            "",
            "",
            f"{used:.2f} s",
            "",
            f"< {READY_SECONDS:g} s",
            used < READY_SECONDS,
        ),
        Row("resident", "", "", f"{resident:.0f} MB", "", f"< {RESIDENT_MB:g} MB", resident < RESIDENT_MB),
    )
    for path in PATHS:
        rate, wanted = rates[path], path if rates[path] == slowest else None
        met &= print_rows(
            Row(
                f"{path.partition('?')[0]}, on one core",
                "bare endpoint",
                f"{rates['floor']:.0f}/s",
                f"{rate:.0f}/s",
                f"{rate / rates['floor']:.2f}",
                f">= {REQUESTS_A_SECOND:g}/s" if wanted else "",
                rate >= REQUESTS_A_SECOND if wanted else None,
            )
        )
    return 0 if met else 1


def start_and_stop() -> tuple[float, float, float]:
    """Return the seconds until a new sandbox is ready, its processor time by then, and its megabytes."""
    with tempfile.TemporaryDirectory() as home:
        began = time.monotonic()
        with sandbox(Path(home)) as found:
            took = time.monotonic() - began
            used = Server(found.pid, 0, "").processor_seconds()
            status = Path(f"/proc/{found.pid}/status")
            held = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
            return took, used, int(held[1]) / 1000 if held else 0.0


@contextmanager
def sandbox(home: Path) -> Iterator[connection.Connection]:
    """Run a sandbox on one core."""
    command = [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
    process = subprocess.Popen([*on_core(0), *command])
    try:
        while (found := connection.read(home)) is None:
            if process.poll() is not None:
                raise RuntimeError("the sandbox ended")
            time.sleep(0.005)
        yield found
    finally:
        process.terminate()
        process.wait()


@contextmanager
def floor() -> Iterator[Server]:
    """Run the bare endpoint on one core."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    process = subprocess.Popen([*on_core(0), sys.executable, "-c", FLOOR, str(port)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            break
        yield Server(process.pid, port, "")
    finally:
        process.terminate()
        process.wait()


def on_core(number: int) -> list[str]:
    """Return the prefix of a command that restricts it to one core."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[min(number, len(cores) - 1)])]


def requests_a_second(server: Server, path: str, seconds: float) -> float:
    """Return the server's answers per second of its processor time."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode()
    )
    counts = [0] * CONNECTIONS
    until = time.monotonic() + seconds

    def ask(number: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            while time.monotonic() < until:
                client.sendall(request)
                read_answer(client)
                counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    began, used = time.monotonic(), server.processor_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = server.processor_seconds() - used
    return sum(counts) / (spent or time.monotonic() - began)


def read_answer(client: socket.socket) -> None:
    """Read one complete answer; its status must be 200."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536) or _closed()
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode("latin-1"))
    length = re.search(rb"content-length: (\d+)", head.lower())
    left = int(length[1]) - len(body) if length else 0
    while left > 0:
        left -= len(client.recv(65536) or _closed())


def _closed() -> bytes:
    raise RuntimeError("the server closed the connection")


if __name__ == "__main__":
    sys.exit(main())
