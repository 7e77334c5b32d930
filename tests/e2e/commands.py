"""Run commands in a project as a user does in a shell: a folder, environment variables, and the results."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Library, PythonPyPiLibrary

from kedro_databricks_hybrid.sandbox import connection
from tests import fork_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Result:
    """The output and exit status of a command."""

    command: str
    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr that begin with `Error:`."""
        return [line for line in self.err.splitlines() if line.startswith("Error:")]

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.out}\n--- stderr\n{self.err}\n--- exit status {self.status}"


@dataclass
class Shell:
    """A shell in a folder, with its own sandbox home and state folder."""

    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    patience: float = 300
    installed: bool = False
    """Whether `kedro` is the installed script, which takes a second longer than a forked process."""

    def run(self, command: str, **variables: str) -> Result:
        """Run a command and wait until it ends."""
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=self.patience,
            check=False,
        )
        return Result(command, done.returncode, done.stdout, done.stderr)

    def ok(self, command: str, **variables: str) -> Result:
        """Run a command and check that it succeeds."""
        result = self.run(command, **variables)
        assert result.status == 0, str(result)
        return result

    def fails(self, command: str, *words: str, **variables: str) -> Result:
        """Run a command; check for status 1, one error line that has all these words, and no traceback."""
        result = self.run(command, **variables)
        assert result.status == 1, str(result)
        assert len(result.errors) == 1, str(result)
        assert "Traceback" not in result.out + result.err, str(result)
        for word in words:
            assert word in result.errors[0], f"{word!r} is not in: {result}"
        return result

    def start(self, command: str) -> Started:
        """Start a command and return without waiting for it."""
        process = subprocess.Popen(
            shlex.split(command),
            cwd=self.folder,
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started.append(process)
        return Started(command, process)

    def close(self) -> None:
        """Kill the commands that a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def client(self) -> WorkspaceClient:
        """Return an SDK client for this shell's sandbox."""
        return _client(self.home)

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
        if not self.installed:
            programs.insert(0, str(fork_server.program_folder()))
        return {
            **os.environ,
            "PATH": os.pathsep.join(programs),
            "KEDRO_DATABRICKS_SANDBOX_HOME": str(self.home),
            "KEDRO_DATABRICKS_STATE": str(self.home.parent / "state"),
            **self.environment,
            **variables,
        }


def _client(home: Path) -> WorkspaceClient:
    running = connection.read(home)
    assert running is not None, "the sandbox does not run"
    return WorkspaceClient(host=running.host, token=running.token)


def provide_package(home: Path) -> None:
    """Install this package, with Kedro, on a sandbox's clusters, for projects without requirements."""
    from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, STOPPED_ID

    client = _client(home)
    for cluster in (RUNNING_ID, STOPPED_ID):
        client.libraries.install(cluster, [Library(pypi=PythonPyPiLibrary("kedro-databricks-hybrid"))])


@dataclass(frozen=True)
class Started:
    """A command that is running."""

    command: str
    process: subprocess.Popen[str]

    def lines_until(self, words: str) -> Iterator[str]:
        """Yield lines of stdout up to and including the first one that contains these words."""
        for line in self.process.stdout or []:
            yield line
            if words in line:
                return
        pytest_message = f"{words!r} was not printed: {(self.process.stderr or sys.stdin).read()}"
        raise AssertionError(pytest_message)

    def interrupt(self) -> None:
        """Send the signal of Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> Result:
        """Wait until the command ends, and return its result."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()  # includes what lines_until has buffered
        _, err = self.process.communicate(timeout=120)
        return Result(self.command, self.process.returncode, out, err)
