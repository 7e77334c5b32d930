"""Start `kedro` commands quickly, by forking a process that has already imported the needed modules.

Imports take most of a short command's time. `Kedro` starts that process and writes a small program called
`kedro`. With its folder first on PATH, each `kedro` command, in shell scripts too, is a forked process with
the caller's folder, environment, umask, and terminal or pipes. Resource limits (`ulimit`) and the controlling
terminal are those of the server; tests that depend on them run the installed script.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import inspect
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
_PRELOADED = (
    "kedro.framework.cli.cli",
    "kedro.framework.cli.project",
    "kedro.framework.cli.registry",
    "kedro.framework.cli.starters",
    "kedro.framework.context",
    "kedro.framework.session",
    "kedro.framework.session.store",
    "kedro.runner",
    "kedro_datasets.pandas",
    "kedro_telemetry.plugin",
    "databricks.sdk",
    "pandas",
    "pyarrow",
    "rich.progress",
    "kedro_databricks_hybrid.config_loader",
    "kedro_databricks_hybrid.hooks",
    *(f"kedro_databricks_hybrid.cli.{each.stem}" for each in ROOT.glob("kedro_databricks_hybrid/cli/*.py")),
)
_READY = b"ready\n"
_PROGRAM = """\
#!{python} -IS
import json, os, signal, socket, sys

FORWARDED = {{signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}}
signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
umask = os.umask(0)
os.umask(umask)
asked = json.dumps([sys.argv, os.getcwd(), dict(os.environ), umask]).encode()
socket.send_fds(line, [len(asked).to_bytes(8, "big")], [0, 1, 2])
line.sendall(asked)
answers = line.makefile()
process = int(answers.readline())
for number in FORWARDED:
    signal.signal(number, lambda number, frame: os.kill(process, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
status = int(answers.readline() or 1)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


class Kedro:
    """The server process and the program `kedro` that sends it requests.

    Attributes:
        folder: The folder of the program; put it first on PATH.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="kedro-")  # a socket's path must be short
        self.folder = Path(self._scratch.name)
        address = str(self.folder / "socket")
        program = self.folder / "kedro"
        program.write_text(_PROGRAM.format(python=sys.executable, address=address), encoding="utf-8")
        program.chmod(0o700)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._server.stdout is not None
        assert _READY in self._server.stdout  # the imports may print lines before it

    def close(self) -> None:
        """End the server and the commands that are still running."""
        self._server.communicate(timeout=60)
        self._scratch.cleanup()


_KEDROS: list[Kedro] = []


def program_folder() -> Path:
    """Return the folder of this process's program `kedro`; the first call starts its server."""
    if not _KEDROS:
        _KEDROS.append(Kedro())
    return _KEDROS[0].folder


def close() -> None:
    """End the server that `program_folder` started."""
    while _KEDROS:
        _KEDROS.pop().close()


def serve(address: str) -> None:
    """Fork for each connection to a socket, until stdin closes."""
    for module in _PRELOADED:
        import_module(module)
    inspect.stack()  # remembers the files of all modules; dynaconf calls it in each command
    gc.freeze()  # garbage collection in a fork would copy all imported modules
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler makes Python write to the wake-up file
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    sys.stdout.buffer.write(_READY)
    sys.stdout.flush()
    commands: dict[int, socket.socket] = {}
    while True:
        awaited: list[int | socket.socket] = [0, woken, listener, *commands.values()]
        ready, _, _ = select.select(awaited, [], [])
        if 0 in ready:
            break
        if woken in ready:
            os.read(woken, 512)
            _report(commands)
        if listener in ready:
            line, _ = listener.accept()
            _begin(line, commands, listener)
        for pid, line in commands.items():
            if line in ready:  # the program `kedro` was killed
                os.kill(pid, signal.SIGKILL)
                line.recv(1)
    for pid in commands:
        os.kill(pid, signal.SIGKILL)


def _report(commands: dict[int, socket.socket]) -> None:
    """Send the exit statuses of ended commands to their callers."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with commands.pop(pid) as line, contextlib.suppress(BrokenPipeError):
                line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _begin(line: socket.socket, commands: dict[int, socket.socket], listener: socket.socket) -> None:
    size, files, _, _ = socket.recv_fds(line, 8, 3)
    with line.makefile("rb") as asked:
        arguments, folder, variables, umask = json.loads(asked.read(int.from_bytes(size, "big")))
    pid = os.fork()
    if pid == 0:
        for other in (listener, line, *commands.values()):
            other.close()
        _become(arguments, folder, variables, umask, files)
    for file in files:
        os.close(file)
    commands[pid] = line
    line.sendall(f"{pid}\n".encode())


def _become(
    arguments: list[str], folder: str, variables: dict[str, str], umask: int, files: list[int]
) -> NoReturn:
    """Run the command in this fork, and end it like any Python process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = arguments
    sys.path[0] = str(Path(sys.executable).parent)
    # The modules read the environment on import: repeat that with this command's.
    vars(import_module("rich"))["_console"] = None
    logging.captureWarnings(capture=False)
    project: Any = import_module("kedro.framework.project")
    project.LOGGING = project._ProjectLogging()  # noqa: SLF001
    try:
        sys.exit(import_module("kedro.framework.cli.cli").main())
    except SystemExit as ended:
        _leave(ended.code)


def _leave(status: str | int | None) -> NoReturn:
    """End the process as Python does, but without clearing modules: that would copy all of them."""
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for non-daemon threads
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
