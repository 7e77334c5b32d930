"""Run a command in which chosen folders lie at absolute paths, and let nothing of it outlive its parent.

A program of its own, on the standard library alone so that it starts in milliseconds:

    python -I -S namespace.py --parent PID --bind SOURCE TARGET ... --cwd FOLDER -- COMMAND ...

It enters a mount namespace (a user namespace too, for an ordinary user), makes a new root of a tmpfs
into which every top folder of the machine and every SOURCE are bound, and starts COMMAND there under the
same user. A SOURCE of `-` hides TARGET: it is then an empty folder that nobody can write to, but for what
later binds put in it. On the machine itself nothing is created. It then stays behind as COMMAND's parent:
when COMMAND ends, when this program is told to end, or when process PID dies, every process that COMMAND
started is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

REFUSED = 78
"""The exit status where the machine does not let folders be bound; standard error then says why."""

HIDDEN = "-"
"""Stands for no source: the target is hidden."""

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 0x1
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_HOST = Path("/.host")


class RefusedError(Exception):
    """The machine does not let this process bind folders at absolute paths."""


class _Ended(BaseException):
    """This program was told to end."""


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` describe and return its exit status."""
    parser = argparse.ArgumentParser(prog="namespace.py", allow_abbrev=False)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    obey_signals()
    try:
        enter(binds_of(options))
        os.chdir(options.cwd)
    except RefusedError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    die_with(options.parent, signal.SIGTERM)
    return keep(options.command, options.command[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every kind of kernel is started with."""
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--bind", nargs=2, action="append", default=[], metavar=("SOURCE", "TARGET"))
    parser.add_argument("--cwd", default="/")
    parser.add_argument("command", nargs="+")


def binds_of(options: argparse.Namespace) -> list[tuple[Path | None, Path]]:
    """Return the folders and their targets; a target without a folder is hidden."""
    return [(None if source == HIDDEN else Path(source), Path(target)) for source, target in options.bind]


def obey_signals() -> None:
    """End the command and all below it at SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the command, not for its keeper


def enter(binds: list[tuple[Path | None, Path]]) -> None:
    """Move this process to a root of its own, in which each source folder lies at its target.

    They are bound one after another; a target without a source is hidden.

    Raises:
        RefusedError: This is not Linux, or the kernel does not allow it.
    """
    if not sys.platform.startswith("linux"):
        raise RefusedError(f"Binding /Workspace, /dbfs and /Volumes needs Linux; this is {sys.platform}.")
    sources = [(Path(os.path.realpath(source)) if source else None, target) for source, target in binds]
    _unshare()
    try:
        _mount("none", "/", None, _MS_REC | _MS_SLAVE)
        _pivot(_staging())
        _fill_root({target.name for _, target in binds if target.parent == Path("/")})
        for source, target in sources:
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
            if source is None:
                _mount("tmpfs", target, "tmpfs", 0, "mode=0755")
            else:
                _mount(_HOST / source.relative_to("/"), target, None, _MS_BIND | _MS_REC)
        for target in (target for source, target in sources if source is None):
            _mount("tmpfs", target, None, _MS_REMOUNT | _MS_RDONLY, "mode=0755")
        _call("umount2", os.fsencode(_HOST), _MNT_DETACH)
        _HOST.rmdir()
    except OSError as error:
        raise RefusedError(f"Binding /Workspace, /dbfs and /Volumes failed: {error}.") from error


def _unshare() -> None:
    """Leave the machine's mount namespace, by way of a user namespace where that needs one."""
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", _CLONE_NEWNS)
    except OSError:
        try:
            _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
        except OSError as error:
            raise RefusedError(_why_refused(error)) from error
        try:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        except OSError as error:
            raise RefusedError(_why_refused(error)) from error


def _why_refused(error: OSError) -> str:
    cause = {
        errno.ENOSPC: "user namespaces are switched off (user.max_user_namespaces is 0)",
        errno.EPERM: "the kernel, a container or AppArmor forbids user namespaces to this user",
        errno.EACCES: "AppArmor restricts user namespaces",
        errno.EINVAL: "the kernel is built without user namespaces",
        errno.ENOSYS: "the kernel is built without namespaces",
    }.get(error.errno or 0, str(error))
    return f"Namespace kernels cannot run here: {cause}."


def _staging() -> Path:
    """Return a folder to mount the new root on; in this namespace alone it is covered for a moment."""
    return next(folder for folder in map(Path, ("/tmp", "/var/tmp", "/mnt", "/usr")) if folder.is_dir())  # noqa: S108


def _pivot(folder: Path) -> None:
    """Make an empty file system the root; the machine's own root is then below `_HOST`."""
    _mount("tmpfs", folder, "tmpfs", 0, "mode=0755")
    host = folder / _HOST.name
    host.mkdir()
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise RefusedError(f"Binding folders is not known for {os.uname().machine} processors.")
    _call("syscall", number, os.fsencode(folder), os.fsencode(host))
    os.chdir("/")


def _fill_root(taken: set[str]) -> None:
    """Give the new root everything that the machine's root has, but for the names in `taken`."""
    for entry in os.scandir(_HOST):
        if entry.name in taken or entry.name == _HOST.name:
            continue
        place = Path("/", entry.name)
        if entry.is_symlink():
            place.symlink_to(Path(entry.path).readlink())
            continue
        if entry.is_dir(follow_symlinks=False):
            place.mkdir(mode=0o755)
        elif entry.is_file(follow_symlinks=False):
            place.touch(mode=0o644)
        else:
            continue
        _mount(entry.path, place, None, _MS_BIND | _MS_REC)


def keep(command: list[str], program: str) -> int:
    """Start a command by its program's file, wait for it, and leave no process of it behind."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the command leaves behind becomes this process's child
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, program, keeper)
    status = 128 + signal.SIGTERM
    try:
        while True:
            ended, code = os.wait()
            if ended == child:
                status = os.waitstatus_to_exitcode(code)
                break
    except _Ended:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_descendants()
    return status if status >= 0 else 128 - status


def _become(command: list[str], program: str, keeper: int) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        die_with(keeper, signal.SIGKILL)
        os.environ.pop("JPY_PARENT_PID", None)  # else ipykernel polls for a parent that is not this one
        os.execvp(program, command)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - nothing may return into the copy of the keeper
        os.write(2, f"{command[0]} could not be started: {error}\n".encode())
    os._exit(127)


def _end_descendants() -> None:
    """Kill every process below this one until none is left."""
    while True:
        for process in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # pid (command) state ppid ...; the command may hold spaces and parentheses
            after_command = (process / "stat").read_bytes().rpartition(b")")[2].split()
            children.setdefault(int(after_command[1]), []).append(int(process.name))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def die_with(parent: int, with_signal: signal.Signals) -> None:
    """Be sent a signal when the parent dies; a parent that is already gone ends this process at once."""
    _prctl(_PR_SET_PDEATHSIG, with_signal)
    if os.getppid() != parent:
        os._exit(128 + with_signal)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _mount(source: str | Path, target: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    """Call mount(2)."""
    try:
        _call(
            "mount",
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        )
    except OSError as error:
        raise OSError(error.errno, f"mount: {error.strerror}", str(target)) from error


def _call(function: str, *arguments: object) -> None:
    """Call a function of the C library that returns zero, or sets errno."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), function)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
