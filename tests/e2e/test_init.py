"""From `kedro new` to a push, as a user types it; tokens are typed where nobody sees them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.e2e.commands import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = "--profile=sandbox"
TOKEN = "glpat-typed-and-never-shown"


def test_a_project_of_kedros_own_template(sandbox_home: Path, tmp_path: Path) -> None:
    """`kedro new`, `init`, `doctor`, `push`, `status`: every prerequisite is met by what init did."""
    outside = Shell(tmp_path, sandbox_home)
    outside.ok("kedro new --name=fresh --tools=none --example=n --telemetry=no")
    shell = Shell(tmp_path / "fresh", sandbox_home)
    shell.ok("git init -q -b main")
    shell.ok(f"git init -q --bare -b main {tmp_path / 'fresh.git'}")
    shell.ok(f"git remote add origin {tmp_path / 'fresh.git'}")
    shell.ok("git add .")
    shell.ok('git commit -q -m "Template"')
    said = shell.ok(f"kedro databricks init {PROFILE}").out
    assert "Edited src/fresh/settings.py" in said
    assert "Edited requirements.txt" in said
    shell.ok("git add .")
    shell.ok('git commit -q -m "Prepared"')
    shell.ok(f"kedro databricks push {PROFILE}")
    began = time.monotonic()
    examined = shell.ok(f"kedro databricks doctor {PROFILE}")
    assert time.monotonic() - began < 15  # five on a machine of its own; most of it is Kedro's own start
    assert "your commit" in shell.ok(f"kedro databricks status {PROFILE}").out
    for result in (examined, shell.ok(f"kedro databricks init {PROFILE}")):
        assert shell.client().config.token not in result.out + result.err
    assert shell.ok("git status --porcelain").out == ""


def test_the_token_is_typed_unseen(tiny: Callable[[str], Shell]) -> None:
    """Neither the terminal, nor the process list, nor any file of the project shows what was typed."""
    shell = tiny("unseen")
    shell.ok("git remote set-url origin https://127.0.0.1:9/team/unseen.git")
    settings = "code:\n  provider: bitbucketServer\n  folder: /Workspace/Repos/{user}/unseen\n"
    (shell.folder / "conf" / "base" / "databricks.yml").write_text(settings)
    seen = _ProcessList()
    screen = _type(shell, f"init {PROFILE}", {"Your name at": "ann", "Token for": TOKEN}, seen)
    assert "Registered the Git credential for bitbucketServer" in screen
    known = [each for each in shell.client().git_credentials.list() if each.git_provider == "bitbucketServer"]
    assert [each.git_username for each in known] == ["ann"]
    for text in (screen, *seen.lines, *_texts(shell.folder)):
        assert TOKEN not in text
    assert any("kedro databricks init" in line for line in seen.lines)


class _ProcessList:
    """Every command line that was seen on this machine while it looked."""

    def __init__(self) -> None:
        self.lines: set[str] = set()
        self._done = threading.Event()

    def watch(self) -> None:
        """Look until told to stop."""
        while not self._done.wait(0.05):
            for process in psutil.process_iter(["cmdline"]):
                self.lines.add(" ".join(process.info["cmdline"] or []))

    def stop(self) -> None:
        """Stop looking."""
        self._done.set()


def _type(shell: Shell, arguments: str, answers: dict[str, str], seen: _ProcessList) -> str:
    """Call `kedro databricks` on a terminal, answer its questions, and return what the terminal showed."""
    watching = threading.Thread(target=seen.watch)
    watching.start()
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "kedro"), "databricks", *arguments.split()],
        cwd=shell.folder,
        env=shell._environment({"TERM": "dumb"}),  # noqa: SLF001
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    screen, waiting = "", dict(answers)
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the last process has closed it
            break
        screen += read.decode(errors="replace")
        for question in [each for each in waiting if each in screen]:
            os.write(terminal, f"{waiting.pop(question)}\n".encode())
    process.wait(timeout=60)
    os.close(terminal)
    seen.stop()
    watching.join()
    return screen


def _texts(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
