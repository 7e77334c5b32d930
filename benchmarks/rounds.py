"""Count the requests that a command waits for, behind a network with a long way.

    python -m benchmarks.rounds [--only push|status|doctor|run]

A proxy before the sandbox answers each request 100 ms late and notes when it began and ended. A round is a
request that began after another one had ended: a command waits for the network as often as it has rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.results import Row, print_header, print_rows
from benchmarks.run import RUN, Bench, running
from kedro_databricks_hybrid.sandbox import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

_DELAY = 0.1
_FILES = 24
_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}
_METHODS = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]
_SUBMITTED = "POST /api/1.2/commands/execute"
_FIRST_LOG_FILE = "000001.jsonl"


@dataclass(frozen=True)
class Asked:
    """A request: method, path and query, whether it succeeded, and when it began and ended."""

    line: str
    is_answered: bool
    began: float
    ended: float


class Proxy:
    """Passes requests to a server, each with a delay, and notes them."""

    def __init__(self, host: str) -> None:
        self.asked: list[Asked] = []
        self._server = httpx.AsyncClient(base_url=host, timeout=120, trust_env=False)
        self.app = Starlette(routes=[Route("/{path:path}", self._pass_on, methods=_METHODS)])

    async def _pass_on(self, request: Request) -> Response:
        began = time.monotonic()
        body = await request.body()
        await asyncio.sleep(_DELAY)
        address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        kept = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        answer = await self._server.request(request.method, address, headers=kept, content=body)
        line = f"{request.method} {address}"
        self.asked.append(Asked(line, answer.is_success, began, time.monotonic()))
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        return Response(answer.content, answer.status_code, headers)


def rounds(asked: list[Asked]) -> int:
    """Return the length of the longest chain of requests that began after the one before had ended."""
    count, end = 0, 0.0
    for each in sorted(asked, key=lambda one: one.ended):
        if each.began >= end:
            count, end = count + 1, each.ended
    return count


@contextmanager
def slow_network(bench: Bench) -> Iterator[Proxy]:
    """Let the commands of a bench reach its sandbox through a proxy."""
    found = connection.read(bench.folder / "sandbox")
    if found is None:
        raise SystemExit("The sandbox is not running.")
    proxy = Proxy(found.host)
    server = uvicorn.Server(uvicorn.Config(proxy.app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    bench.variables = {"DATABRICKS_HOST": f"http://127.0.0.1:{port}", "DATABRICKS_TOKEN": found.token}
    try:
        yield proxy
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Measured:
    """A project behind the proxy."""

    bench: Bench
    proxy: Proxy
    project: Path

    def ask(self, command: str) -> list[Asked]:
        """Run a command and return its requests."""
        self.proxy.asked.clear()
        self.bench.shell(self.project, command)
        return list(self.proxy.asked)

    def commit(self) -> None:
        """Commit a change."""
        with (self.project / "notes.txt").open("a") as file:
            file.write("more\n")
        self.bench.shell(self.project, "git add .")
        self.bench.shell(self.project, "git -c user.name=b -c user.email=b@example.com commit -q -m More")


def row(what: str, asked: list[Asked], most_requests: int, most_rounds: int) -> Row:
    """Return a row with its target."""
    found = len(asked), rounds(asked)
    met = found[0] <= most_requests and found[1] <= most_rounds
    told = f"{found[0]} requests, {found[1]} rounds"
    return Row(what, "", "", told, "", f"{most_requests} requests, {most_rounds} rounds", met=met)


def push(measured: Measured) -> list[Row]:
    """Push nothing, then a commit."""
    unchanged = measured.ask("kedro databricks push")
    measured.commit()
    return [
        row("push, nothing changed", unchanged, 6, 3),
        row("push, one commit", measured.ask("kedro databricks push"), 8, 5),
    ]


def status(measured: Measured) -> list[Row]:
    """Ask for the status of a project that an earlier status has compared."""
    time.sleep(3)  # the times of files that were just written are not trusted
    measured.ask("kedro databricks status")
    folders = {each.parent for each in measured.project.rglob("*") if ".git" not in each.parts}
    return [row("status, 24 files more", measured.ask("kedro databricks status"), len(folders) + 10, 6)]


def doctor(measured: Measured) -> list[Row]:
    """Check everything, in a project whose requirements are right."""
    requirements = measured.project / "requirements.txt"
    requirements.write_text("kedro\nkedro-databricks-hybrid\n")
    asked = measured.ask("kedro databricks doctor")
    requirements.unlink()
    return [row("doctor", asked, 11, 4)]


def run(measured: Measured) -> list[Row]:
    """Run in a warm process, up to the submission and up to the first file of the log; then push and run."""
    command = RUN.partition(" --profile")[0]
    measured.ask(command)
    asked = measured.ask(command)
    measured.commit()
    pushed = measured.ask("kedro databricks push")
    alone = until_first_record(measured.ask(command))
    measured.commit()
    both = until_first_record(measured.ask(f"{command} --push"))
    most = rounds(pushed) + rounds(alone) - 3
    return [
        row("run, warm, until the command is submitted", asked[: _number(asked, _SUBMITTED)], 7, 4),
        row("run, warm, until the first record", until_first_record(asked), 10, 6),
        row("run --push, one commit, until the first record", both, len(pushed) + len(alone), most),
    ]


def until_first_record(asked: list[Asked]) -> list[Asked]:
    """Return the requests of a run without those that follow its log to the end."""
    submitted = _number(asked, _SUBMITTED)
    return asked[: submitted + _number(asked[submitted:], _FIRST_LOG_FILE)]


def _number(asked: list[Asked], words: str) -> int:
    """Return the number of the first request that has these words and succeeded, from 1."""
    return next(number for number, each in enumerate(asked, 1) if each.is_answered and words in each.line)


def show(asked: list[Asked]) -> None:
    """Print when each request began and ended, in seconds after the first."""
    began = min((each.began for each in asked), default=0.0)
    for each in sorted(asked, key=lambda one: one.began):
        print(f"{each.began - began:6.2f} {each.ended - began:6.2f}  {each.line}")


PARTS: dict[str, Callable[[Measured], list[Row]]] = {
    "push": push,
    "status": status,
    "doctor": doctor,
    "run": run,
}


def main() -> int:
    """Start a sandbox and a proxy, count and print the table; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--show", action="store_true", help="print the requests of each row's last command")
    arguments = parser.parse_args()
    print_header()
    met = True
    with tempfile.TemporaryDirectory(prefix="benchmark-rounds-") as folder, running(Path(folder)) as bench:
        project = bench.project("rounds", 'print("node", flush=True)')
        for number in range(_FILES):
            (project / f"src/tiny_shop/part_{number}.py").write_text(f"NUMBER = {number}\n")
        with slow_network(bench) as proxy:
            measured = Measured(bench, proxy, project)
            measured.commit()
            measured.ask("kedro databricks push")
            for name in arguments.only or PARTS:
                met &= print_rows(*PARTS[name](measured))
                if arguments.show:
                    show(proxy.asked)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
