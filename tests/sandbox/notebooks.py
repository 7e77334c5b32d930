"""Execution contexts over HTTP, for tests."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDED = {"Finished", "Error"}


@dataclass
class Notebook:
    """One execution context, used over HTTP."""

    http: httpx.Client
    context: str
    cluster: str = RUNNING_ID

    def ask(self, method: str, path: str, **fields: str) -> httpx.Response:
        """Send a request about this context."""
        fields = {"clusterId": self.cluster, "contextId": self.context, **fields}
        if method == "GET":
            return self.http.get(f"/api/1.2/{path}", params=fields)
        return self.http.post(f"/api/1.2/{path}", json=fields)

    def status(self) -> str:
        """Return the context's status."""
        return str(self.ask("GET", "contexts/status").raise_for_status().json()["status"])

    def submit(self, command: str) -> str:
        """Send a command and return its id."""
        answer = self.ask("POST", "commands/execute", language="python", command=command)
        return str(answer.raise_for_status().json()["id"])

    def command(self, command: str) -> dict[str, Any]:
        """Return the status and the results of a command."""
        answer: dict[str, Any] = self.ask("GET", "commands/status", commandId=command).json()
        return answer

    def wait(self, command: str, *statuses: str, seconds: float = 200) -> dict[str, Any]:
        """Wait until a command has one of the statuses."""
        deadline = time.monotonic() + seconds
        while (answer := self.command(command))["status"] not in (statuses or _ENDED):
            assert time.monotonic() < deadline, answer
            time.sleep(0.01)
        return answer

    def results(self, command: str) -> dict[str, Any]:
        """Run a command that finishes, and return its results."""
        answer = self.wait(self.submit(command))
        assert answer["status"] == "Finished", answer
        results: dict[str, Any] = answer["results"]
        return results

    def text(self, command: str) -> str:
        """Run a command whose result is a text, and return it."""
        results = self.results(command)
        assert results["resultType"] == "text", results
        return str(results["data"])


def open_notebook(http: httpx.Client, cluster: str = RUNNING_ID) -> Notebook:
    """Create a context and wait until it runs."""
    answer = http.post("/api/1.2/contexts/create", json={"clusterId": cluster, "language": "python"})
    notebook = Notebook(http, answer.raise_for_status().json()["id"], cluster)
    deadline = time.monotonic() + 60
    while notebook.status() == "Pending":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert notebook.status() == "Running", notebook.ask("GET", "contexts/status").text
    return notebook


def is_cancelled(answer: dict[str, Any]) -> bool:
    """Return whether a command was cancelled, which means finished with an error."""
    results = answer["results"]
    return (answer["status"], results["resultType"]) == ("Finished", "error") and (
        "CommandCancelledException" in results["cause"]
    )


def is_gone(process: int, seconds: float = 5) -> bool:
    """Return whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@dataclass
class ServerProcess:
    """A sandbox server in a separate process."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    home: Path


@contextmanager
def serve(home: Path, prefix: list[str] | None = None) -> Iterator[ServerProcess]:
    """Start a server with a command prefix, and end it afterwards."""
    home.mkdir(exist_ok=True)
    module = [sys.executable, "-m", "kedro_databricks_hybrid.sandbox", "--home", str(home)]
    left_behind = connection.last_written(home)
    process = subprocess.Popen([*(prefix or []), *module])
    try:
        deadline = time.monotonic() + 30
        while (found := connection.read(home)) is None or found == left_behind:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        headers = {"Authorization": f"Bearer {found.token}"}
        with httpx.Client(base_url=found.host, headers=headers, timeout=30) as http:
            yield ServerProcess(process, http, home)
    finally:
        process.terminate()
        process.wait(timeout=20)
