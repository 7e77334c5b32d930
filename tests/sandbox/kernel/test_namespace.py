"""The programs that show folders at absolute paths and kill every process that they started."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedro_databricks_hybrid.sandbox.kernel import kinds, namespace
from tests.sandbox.notebooks import is_gone
from tests.sandbox.users_of_the_machine import ALLOWED, KINDS, REFUSED

pytestmark = pytest.mark.processes

_AS = {
    "as the one who runs the tests": [],
    "as an ordinary user": ALLOWED,
}


_WITHOUT_LINUX = """
import os, sys
from kedro_databricks_hybrid.sandbox.kernel import namespace
from kedro_databricks_hybrid.sandbox.kernel.portable import launch
del os.fork, namespace._call
launch.HAS_SUBREAPER = False
sys.exit(launch.main(sys.argv[1:]))
"""
ANYWHERE = "portable, without the functions that only Linux has"

_MEASURED = f"import sys; from {namespace.__name__} import main; sys.exit(main(sys.argv[1:]))"


def _command(
    folder: Path, *command: str, parent: int | None = None, kind: str = kinds.NAMESPACE
) -> list[str]:
    program = kinds.chosen(kinds.PORTABLE if kind == ANYWHERE else kind).program(folder / "own")
    if kind == ANYWHERE:
        program = [sys.executable, "-I", "-c", _WITHOUT_LINUX, *program[5:]]
    if kind == kinds.NAMESPACE and "COVERAGE_PROCESS_CONFIG" in os.environ:
        program = [sys.executable, "-I", "-c", _MEASURED]  # site starts coverage.py
    program = [*program, "--parent", str(parent or os.getpid())]
    return [*program, "--bind", str(folder), "/Workspace", "--cwd", "/Workspace", "--", *command]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.namespaces
@pytest.mark.parametrize("prefix", _AS.values(), ids=_AS.keys())
def test_a_folder_lies_at_its_absolute_path(tmp_path: Path, prefix: list[str]) -> None:
    """The command reads and writes the folder there; the path does not exist on the machine."""
    (tmp_path / "from-outside").write_text("out")
    done = _run(
        [*prefix, *_command(tmp_path, "sh", "-c", "cat from-outside; echo in > /Workspace/from-inside")]
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "out", "")
    assert (tmp_path / "from-inside").read_text() == "in\n"
    assert not Path("/Workspace").exists()


@pytest.mark.namespaces
@pytest.mark.parametrize("prefix", _AS.values(), ids=_AS.keys())
def test_the_rest_of_the_machine_is_as_it_was(tmp_path: Path, prefix: list[str]) -> None:
    """All other top-level folders and links exist, and the user is the same."""
    listing = "ls -A /; id -u"
    inside = _run([*prefix, *_command(tmp_path, "sh", "-c", listing)]).stdout.split()
    outside = _run([*prefix, "sh", "-c", listing]).stdout.split()
    assert sorted(inside) == sorted([*outside, "Workspace"])
    links = {path.name for path in Path("/").iterdir() if path.is_symlink()}
    shown = _run([*prefix, *_command(tmp_path, "find", "/", "-maxdepth", "1", "-type", "l")]).stdout
    assert {Path(line).name for line in shown.split()} == links


@pytest.mark.namespaces
def test_new_files_at_the_top_stay_off_the_machine(tmp_path: Path) -> None:
    """The new root is in memory: files outside of bound folders are lost."""
    done = _run(_command(tmp_path, "sh", "-c", "echo x > /sandbox-probe && cat /sandbox-probe"))
    assert done.stdout == "x\n"
    assert not Path("/sandbox-probe").exists()


@pytest.mark.parametrize("kind", [*KINDS, ANYWHERE])
def test_the_status_of_the_command_is_passed_on(tmp_path: Path, kind: str) -> None:
    """An exit status is passed on; a signal becomes 128 plus its number."""
    assert _run(_command(tmp_path, "sh", "-c", "exit 3", kind=kind)).returncode == 3
    assert _run(_command(tmp_path, "sh", "-c", "kill -9 $$", kind=kind)).returncode == 137
    assert _run(_command(tmp_path, "/no/such/program", kind=kind)).returncode == (
        1 if kind == kinds.BUBBLEWRAP else 127
    )


@pytest.mark.namespaces
def test_a_refusal_says_what_is_missing(tmp_path: Path) -> None:
    """If user namespaces are switched off, one line names the setting."""
    done = _run([*REFUSED, *_command(tmp_path, "true")])
    assert done.returncode == namespace.REFUSED
    assert "user.max_user_namespaces is 0" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "a container or AppArmor forbids user namespaces"),
        (errno.EACCES, "AppArmor restricts user namespaces"),
        (errno.EINVAL, "the kernel is built without user namespaces"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_every_kind_of_refusal_is_told(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each error of the Linux kernel, one line names the cause."""

    def refuse(function: str, *_: object) -> None:
        raise OSError(number, os.strerror(number), function)

    monkeypatch.setattr(namespace, "_call", refuse)
    with pytest.raises(namespace.RefusedError, match=f"cannot run here: .*{words}"):
        namespace.enter([])


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux has mount namespaces."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(namespace.RefusedError, match="needs Linux; this is darwin"):
        namespace.enter([])


def test_bubblewrap_makes_the_same_mounts(tmp_path: Path) -> None:
    """Every top folder and link, then the binds in order; hidden and fixed ones end read-only."""
    (tmp_path / "link").symlink_to(tmp_path)
    binds = [
        (tmp_path / "link", Path("/dbfs")),
        (None, Path("/Workspace")),
        (tmp_path, Path("/Workspace/a b")),
    ]
    arguments = namespace.bubblewrap_arguments(binds, "/dbfs", [Path("/Workspace/a b")])
    own = [
        "--bind",
        str(tmp_path),
        "/dbfs",
        "--tmpfs",
        "/Workspace",
        "--bind",
        str(tmp_path),
        "/Workspace/a b",
    ]
    own += ["--remount-ro", "/Workspace", "--remount-ro", "/Workspace/a b", "--chdir", "/dbfs"]
    assert arguments[-len(own) :] == own
    machine = arguments[1 : -len(own)]
    assert {Path(path) for path in machine[2::3]} == {path for path in Path("/").iterdir() if path.exists()}
    assert set(machine[::3]) <= {"--dev-bind", "--symlink"}


@pytest.mark.parametrize("kind", [*KINDS, ANYWHERE])
def test_processes_left_behind_end_with_the_command(tmp_path: Path, kind: str) -> None:
    """A background process of the command in another session is killed."""
    done = _run(_command(tmp_path, "sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!", kind=kind))
    assert done.returncode == 0
    assert is_gone(int(done.stdout))


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        pytest.param([], kinds.NAMESPACE, marks=pytest.mark.namespaces),
        pytest.param(ALLOWED, kinds.NAMESPACE, marks=pytest.mark.namespaces),
        (REFUSED, kinds.PORTABLE),
        ([], ANYWHERE),
    ],
)
def test_nothing_outlives_a_killed_parent(tmp_path: Path, prefix: list[str], kind: str) -> None:
    """SIGKILL of the parent ends the command and its children."""
    script = "setsid sleep 300 & echo $! > /Workspace/pids; sleep 300 & echo $! >> /Workspace/pids; wait"
    inner = repr(_command(tmp_path, "sh", "-c", script, parent=-1, kind=kind))
    parent = subprocess.Popen(
        [
            *prefix,
            sys.executable,
            "-c",
            f"import os, subprocess; c = {inner}; c[c.index('-1')] = str(os.getpid()); subprocess.run(c)",
        ]
    )
    deadline = time.monotonic() + 20
    pids: list[str] = []
    while len(pids) < 2:
        assert time.monotonic() < deadline, "the command did not start"
        time.sleep(0.02)
        pids = (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []
    assert not any(is_gone(int(pid), seconds=0.1) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=5)
    assert all(is_gone(int(pid)) for pid in pids)


@pytest.mark.parametrize("kind", [*KINDS, ANYWHERE])
def test_nothing_starts_for_a_parent_that_is_gone(tmp_path: Path, kind: str) -> None:
    """If the parent is dead already, the command does not run."""
    done = _run(_command(tmp_path, "touch", "/Workspace/ran", parent=1, kind=kind))
    assert done.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "ran").exists()
