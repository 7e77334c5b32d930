"""Run a command with folders bound at absolute paths, and kill its processes when it or its parent ends.

A separate program, which imports only the standard library so that it starts in milliseconds:

    python -I -S namespace.py --parent PID --bind SOURCE TARGET ... --cwd FOLDER -- COMMAND ...

It enters a mount namespace (and as an ordinary user a user namespace), makes a tmpfs the new root, binds
every top folder of the machine and every SOURCE into it, and starts COMMAND there as the same user. A SOURCE
of `-` hides TARGET: an empty, read-only folder, into which later binds may be made. Nothing can be changed
in a bound folder that `--read-only TARGET` names. Nothing is created outside of the namespace. It stays
COMMAND's parent: when COMMAND ends, when this program gets SIGTERM, or when process PID dies, it kills every
process that COMMAND started. With `--bubblewrap BWRAP`, that program makes the namespace and the same mounts.
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
    from collections.abc import Sequence
    from types import FrameType

REFUSED = 78
"""The exit status if the machine does not allow to bind folders; standard error says why."""

HIDDEN = "-"
"""The source that hides the target."""

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 0x1
_MS_REMOUNT = 0x20
_KEPT_FLAGS = 0x2 | 0x4 | 0x8 | 0x400 | 0x800  # nosuid, nodev, noexec, noatime, nodiratime
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_HOST = Path("/.host")


class RefusedError(Exception):
    """The machine does not allow this process to bind folders at absolute paths."""


class _Ended(BaseException):
    """This program got SIGTERM."""


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` describe and return its exit status."""
    parser = argparse.ArgumentParser(prog="namespace.py", allow_abbrev=False)
    parser.add_argument("--bubblewrap")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    handle_signals()
    if options.bubblewrap:
        die_with(options.parent, signal.SIGTERM)
        mounts = bubblewrap_arguments(binds_of(options), options.cwd, options.read_only)
        command = [options.bubblewrap, *mounts, "--", *options.command]
        return supervise(command, command[0], signal.SIG_IGN)  # bubblewrap must survive an interrupt
    try:
        enter(binds_of(options), options.read_only)
        os.chdir(options.cwd)
    except RefusedError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    die_with(options.parent, signal.SIGTERM)
    return supervise(options.command, options.command[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every kind of kernel."""
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--bind", nargs=2, action="append", default=[], metavar=("SOURCE", "TARGET"))
    parser.add_argument("--read-only", type=Path, action="append", default=[], metavar="TARGET")
    parser.add_argument("--cwd", default="/")
    parser.add_argument("command", nargs="+")


def binds_of(options: argparse.Namespace) -> list[tuple[Path | None, Path]]:
    """Return the source folders and their targets; the source None hides the target."""
    return [(None if source == HIDDEN else Path(source), Path(target)) for source, target in options.bind]


def handle_signals() -> None:
    """Let SIGTERM end the command and its descendants, and ignore SIGINT."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the command only


def enter(binds: list[tuple[Path | None, Path]], read_only: Sequence[Path] = ()) -> None:
    """Give this process a new root, with each source folder bound at its target, in the given order.

    A target without a source is hidden, and nothing can be changed in those that are read-only.

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
        for target in read_only:
            kept = os.statvfs(target).f_flag & _KEPT_FLAGS  # without them an ordinary user is refused
            _mount("none", target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)
        _call("umount2", os.fsencode(_HOST), _MNT_DETACH)
        _HOST.rmdir()
    except OSError as error:
        raise RefusedError(f"Binding /Workspace, /dbfs and /Volumes failed: {error}.") from error


def _unshare() -> None:
    """Leave the machine's mount namespace, with a user namespace if that is required."""
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
    """Return a folder to mount the new root on; it is covered for a moment, in this namespace only."""
    return next(folder for folder in map(Path, ("/tmp", "/var/tmp", "/mnt", "/usr")) if folder.is_dir())  # noqa: S108


def _pivot(folder: Path) -> None:
    """Make an empty file system the root; the machine's root is then at `_HOST`."""
    _mount("tmpfs", folder, "tmpfs", 0, "mode=0755")
    host = folder / _HOST.name
    host.mkdir()
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise RefusedError(f"Binding folders is not known for {os.uname().machine} processors.")
    _call("syscall", number, os.fsencode(folder), os.fsencode(host))
    os.chdir("/")


def _fill_root(taken: set[str]) -> None:
    """Bind everything in the machine's root into the new one, except the names in `taken`."""
    for entry in os.scandir(_HOST):
        if entry.name in taken or entry.name == _HOST.name:
            continue
        target = Path("/", entry.name)
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
            continue
        if entry.is_dir(follow_symlinks=False):
            target.mkdir(mode=0o755)
        elif entry.is_file(follow_symlinks=False):
            target.touch(mode=0o644)
        else:
            continue
        _mount(entry.path, target, None, _MS_BIND | _MS_REC)


def bubblewrap_arguments(
    binds: list[tuple[Path | None, Path]], cwd: str, read_only: Sequence[Path] = ()
) -> list[str]:
    """Return the arguments with which bubblewrap makes the mounts of `enter` and changes to a folder."""
    arguments = ["--die-with-parent"]
    taken = {target.name for _, target in binds if target.parent == Path("/")}
    for entry in os.scandir("/"):
        if entry.name in taken:
            continue
        if entry.is_symlink():
            arguments += ["--symlink", str(Path(entry.path).readlink()), entry.path]
        elif entry.is_dir() or entry.is_file():
            arguments += ["--dev-bind", entry.path, entry.path]
    for source, target in binds:
        shown = ["--bind", os.path.realpath(source)] if source else ["--tmpfs"]
        arguments += [*shown, str(target)]
    for target in [*(target for source, target in binds if source is None), *read_only]:
        arguments += ["--remount-ro", str(target)]
    return [*arguments, "--chdir", cwd]


def supervise(command: list[str], program: str, interrupts: signal.Handlers = signal.SIG_DFL) -> int:
    """Start the command, wait for it, and kill every process that it leaves behind.

    Args:
        command: Its arguments, with its name first.
        program: The file to execute.
        interrupts: What the command does on SIGINT until it decides itself; ipykernel does.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the command become this process's children
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _execute(command, program, parent, interrupts)
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


def _execute(command: list[str], program: str, parent: int, interrupts: signal.Handlers) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, interrupts)
    try:
        die_with(parent, signal.SIGKILL)
        os.environ.pop("JPY_PARENT_PID", None)  # else ipykernel polls for another parent
        os.execvp(program, command)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - the forked copy must not return
        os.write(2, f"{command[0]} could not be started: {error}\n".encode())
    os._exit(127)


def _end_descendants() -> None:
    """Kill every descendant of this process until none is left."""
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
    """Request a signal for the death of the parent; exit at once if the parent is dead already."""
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
    """Call a function of the C library that returns zero or sets errno."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), function)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
