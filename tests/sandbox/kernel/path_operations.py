"""Operations on paths and their expected results, which are the same in every folder and kind of kernel.

Run inside a kernel with folders as arguments, this program performs every operation in each folder and prints
the results as JSON. `{f}` in an expected result stands for the folder.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import importlib
import importlib.util
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS: dict[str, tuple[Callable[[str], Any], Any]] = {}
"""Operations by name: a function of a new folder, and its result or the name of the error."""

_LIBC = ctypes.CDLL(None, use_errno=True)
for _name in ("realpath", "getcwd", "get_current_dir_name", "mkdtemp", "canonicalize_file_name"):
    if hasattr(_LIBC, _name):
        getattr(_LIBC, _name).restype = ctypes.c_char_p
for _name in ("fopen", "freopen", "opendir"):
    getattr(_LIBC, _name).restype = ctypes.c_void_p


def operation(expected: Any, *systems: str) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Add a function to the table; one that only some systems have is added only on these."""

    def add(function: Callable[[str], Any]) -> Callable[[str], Any]:
        if not systems or sys.platform in systems:
            OPERATIONS[function.__name__] = function, expected
        return function

    return add


def make(*names: str, text: str = "text") -> str:
    """Write a file, create its folders and return its path."""
    path = Path(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def run(*command: str, **options: Any) -> str:
    """Run a program that must succeed, and return its output."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done
    return done.stdout.strip()


def call(function: str, *arguments: Any) -> Any:
    """Call a function of the C library; an error raises OSError."""
    result: Any = getattr(_LIBC, function)(
        *(os.fsencode(each) if isinstance(each, str) else each for each in arguments)
    )
    if result is None or result == -1:
        raise OSError(ctypes.get_errno(), function)
    return result.decode() if isinstance(result, bytes) else result


# ---- files and folders


@operation(["text", "textmore", 4])
def write_read_append(f: str) -> Any:
    path = make(f, "x")
    first = Path(path).read_text()
    with open(path, "a") as file:
        file.write("more")
    whole = Path(path).read_text()
    os.truncate(path, 4)
    return [first, whole, os.stat(path).st_size]


@operation([["a b", "ü"], ["{f}/a b", "{f}/ü"], ["{f}/a b/c"], ["{f}/ü"]])
def list_walk_glob(f: str) -> Any:
    make(f, "a b", "c")
    make(f, "ü")
    walked = sorted(os.path.join(folder, name) for folder, _, names in os.walk(f) for name in names)
    scanned = sorted(entry.path for entry in os.scandir(f))
    return [sorted(os.listdir(f)), scanned, walked[:1], glob.glob(f"{glob.escape(f)}/?")]


@operation([True, "{f}/a", "x", "{f}"])
def current_folder(f: str) -> Any:
    make(f, "a", "x")
    os.chdir(f"{f}/a")
    return [os.path.samefile(".", f"{f}/a"), os.getcwd(), *os.listdir("."), os.path.realpath("..")]


@operation(["{f}/a", "{f}/a", "{f}"], "linux")
def proc_links(f: str) -> Any:
    os.makedirs(f"{f}/a")
    os.chdir(f"{f}/a")
    number = os.open(f, os.O_RDONLY)
    try:
        return [
            os.readlink("/proc/self/cwd"),
            os.path.realpath("/proc/self/cwd"),
            os.readlink(f"/proc/self/fd/{number}"),
        ]
    finally:
        os.close(number)


@operation(["text", "text", "text", "text", ["NotADirectoryError", "FileNotFoundError"]])
def unusual_spellings(f: str) -> Any:
    path = make(f, "a", "x")
    top = f.split("/")[1]
    errors = []
    for wrong in (f"{path}/", f"{f}/nothing/../a/x"):
        try:
            os.stat(wrong)
        except OSError as error:
            errors.append(type(error).__name__)
    spelled = [f"/{path}", f"{f}//a/./x", f"{f}/a/../a/x", f"/{top}/../{path}"]
    return [*(Path(each).read_text() if each else "" for each in spelled), errors]


@operation(["FileNotFoundError", "{f}/nothing", False, False])
def what_is_not_there(f: str) -> Any:
    try:
        open(f"{f}/nothing")
    except OSError as error:
        return [
            type(error).__name__,
            error.filename,
            os.path.exists(f"{f}/nothing"),
            os.access(f"{f}/nothing", os.F_OK),
        ]


@operation("ENAMETOOLONG")
def a_name_too_long(f: str) -> Any:
    os.mkdir(f"{f}/{'x' * 256}")


@operation("ENOTDIR")
def a_file_as_folder(f: str) -> Any:
    os.stat(make(f, "x") + "/y")


@operation([["b"], "text"])
def rename(f: str) -> Any:
    os.rename(make(f, "a"), f"{f}/b")
    return [os.listdir(f), Path(f, "b").read_text()]


@operation(["text", ["other"]])
def move_to_another_root(f: str) -> Any:
    with tempfile.TemporaryDirectory() as elsewhere:
        shutil.move(make(f, "a", "x"), f"{elsewhere}/y")
        text = Path(elsewhere, "y").read_text()
        shutil.move(f"{elsewhere}/y", f"{f}/other")
    os.rmdir(f"{f}/a")
    return [text, os.listdir(f)]


@operation([["x"], 1, False])
def copy_and_remove_trees(f: str) -> Any:
    os.utime(make(f, "a", "deep", "x"), (1, 1))
    shutil.copytree(f"{f}/a", f"{f}/b")
    found = [os.listdir(f"{f}/b/deep"), os.stat(f"{f}/b/deep/x").st_mtime]
    shutil.rmtree(f"{f}/b")
    return [*found, os.path.exists(f"{f}/b")]


@operation([0o640, 7, True, 255, []], "linux")
def facts_of_files(f: str) -> Any:
    path = make(f, "x")
    os.chmod(path, 0o640)
    os.chown(path, os.getuid(), os.getgid())
    os.utime(path, (7, 7))
    return [
        os.stat(path).st_mode & 0o777,
        os.stat(path).st_mtime,
        os.statvfs(f).f_blocks == os.statvfs(path).f_blocks,
        os.pathconf(f, "PC_NAME_MAX"),
        os.listxattr(path),
    ]


@operation("ENODATA", "linux")
def an_attribute_that_is_not_there(f: str) -> Any:
    os.getxattr(make(f, "x"), "user.none")


@operation([True, ["fifo"]])
def fifo(f: str) -> Any:
    os.mkfifo(f"{f}/fifo")
    return [Path(f, "fifo").is_fifo(), os.listdir(f)]


@operation(["{f}", "text", True])
def temporary_files(f: str) -> Any:
    with tempfile.NamedTemporaryFile("w+", dir=f) as file, tempfile.TemporaryDirectory(dir=f) as folder:
        file.write("text")
        file.seek(0)
        return [os.path.dirname(file.name), file.read(), os.path.isdir(folder)]


# ---- links


@operation(["{f}/x", "text", "{f}/x", True, 4, "{f}/chain"])
def absolute_links(f: str) -> Any:
    path = make(f, "x")
    os.symlink(path, f"{f}/link")
    os.symlink(f"{f}/link", f"{f}/chain")
    os.symlink(f"{f}/chain", f"{f}/third")
    facts = os.stat(f"{f}/third")
    return [
        os.readlink(f"{f}/link"),
        Path(f, "chain").read_text(),
        os.path.realpath(f"{f}/chain"),
        os.path.islink(f"{f}/chain"),
        facts.st_size,
        os.readlink(f"{f}/third"),
    ]


@operation(["text", "{f}/a/x", "text", "text"])
def links_to_folders(f: str) -> Any:
    make(f, "a", "x")
    os.symlink("a", f"{f}/relative")
    os.symlink(f"{f}/a", f"{f}/absolute")
    with tempfile.TemporaryDirectory() as elsewhere:
        os.symlink(f, f"{elsewhere}/outside")
        through = Path(elsewhere, "outside/absolute/x").read_text()
        os.symlink(f"{elsewhere}/outside", f"{f}/back")
        back = Path(f, "back/a/x").read_text()
    return [Path(f, "relative/x").read_text(), os.path.realpath(f"{f}/absolute/x"), through, back]


@operation([["link", "new"], "text", True])
def a_file_made_through_a_link(f: str) -> Any:
    os.symlink(f"{f}/new", f"{f}/link")
    Path(f, "link").write_text("text")
    return [sorted(os.listdir(f)), Path(f, "new").read_text(), os.path.islink(f"{f}/link")]


@operation("ELOOP")
def links_in_a_circle(f: str) -> Any:
    os.symlink(f"{f}/a", f"{f}/b")
    os.symlink(f"{f}/b", f"{f}/a")
    os.stat(f"{f}/a")


@operation([["x"], False])
def a_link_removed(f: str) -> Any:
    os.symlink(make(f, "x"), f"{f}/link")
    os.unlink(f"{f}/link")
    return [os.listdir(f), os.path.lexists(f"{f}/link")]


@operation([2, "text"])
def hard_links(f: str) -> Any:
    os.link(make(f, "x"), f"{f}/y")
    return [os.stat(f"{f}/y").st_nlink, Path(f, "y").read_text()]


# ---- with the descriptor of an open folder


@operation([["a", "link", "z"], "x", "text", ["a", "z"], 4])
def below_an_open_folder(f: str) -> Any:
    make(f, "x")
    folder = os.open(f, os.O_RDONLY)
    try:
        os.mkdir("a", dir_fd=folder)
        os.symlink("x", "link", dir_fd=folder)
        text = os.readlink("link", dir_fd=folder)
        os.link("x", "y", src_dir_fd=folder, dst_dir_fd=folder)
        os.rename("y", "z", src_dir_fd=folder, dst_dir_fd=folder)
        number = os.open("link", os.O_RDONLY, dir_fd=folder)
        read = os.read(number, 9).decode()
        os.close(number)
        size = os.stat("z", dir_fd=folder).st_size
        os.chmod("z", 0o600, dir_fd=folder)
        os.utime("z", dir_fd=folder)
        os.unlink("x", dir_fd=folder)
        names = sorted(os.listdir(folder))
        os.unlink("link", dir_fd=folder)
        return [
            names,
            text,
            read,
            sorted(name for _, folders, files, _ in os.fwalk(f) for name in folders + files),
            size,
        ]
    finally:
        os.close(folder)


@operation(["text", "{f}"])
def an_open_folder_as_current_one(f: str) -> Any:
    make(f, "x")
    folder = os.open(f, os.O_RDONLY)
    os.chdir("/")
    os.fchdir(folder)
    os.close(folder)
    return [Path("x").read_text(), os.getcwd()]


# ---- the C library's other functions


@operation(["{f}/x", "{f}", "{f}", "{f}", "{f}/x"], "linux")
def paths_from_the_c_library(f: str) -> Any:
    make(f, "x")
    os.chdir(f)
    room = ctypes.create_string_buffer(4096)
    return [
        call("realpath", "x", None),
        call("getcwd", None, 0),
        call("getcwd", room, 4096),
        call("get_current_dir_name"),
        call("canonicalize_file_name", f"{f}/../{os.path.basename(f)}/x"),
    ]


@operation("ERANGE")
def a_small_room_for_the_current_folder(f: str) -> Any:
    os.chdir(f)
    call("getcwd", ctypes.create_string_buffer(3), 3)


@operation([True, True, ["c", "d", "f", "m", "s"]])
def files_from_the_c_library(f: str) -> Any:
    os.close(call("creat", f"{f}/c", 0o600))
    stream = call("fopen", f"{f}/f", "w")
    stream = call("freopen", f"{f}/f", "r", ctypes.c_void_p(stream))
    _LIBC.fclose(ctypes.c_void_p(stream))
    stream = call("opendir", f)
    _LIBC.closedir(ctypes.c_void_p(stream))
    made = []
    for function, more in (
        ("mkstemp", ()),
        ("mkostemp", (os.O_APPEND,)),
        ("mkstemps", (0,)),
        ("mkdtemp", ()),
    ):
        template = ctypes.create_string_buffer(os.fsencode(f"{f}/made-XXXXXX"))
        call(function, template, *more)
        made.append(template.value.decode())
    exist = all(os.path.exists(path) for path in made)
    for path in made:
        call("remove", path)
    call("mkdir", f"{f}/d", 0o700)
    call("mkfifo", f"{f}/m", 0o600)
    call("symlink", f"{f}/c", f"{f}/s")
    return [exist, all(path.startswith(f"{f}/made-") for path in made), sorted(os.listdir(f))]


@operation("hello")
def sockets(f: str) -> Any:
    os.chdir(f)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")
        client.sendall(b"hello")
        return server.accept()[0].recv(9).decode()


@operation("2.0")
def compiled_modules(f: str) -> Any:
    """Import an extension module: the dynamic linker knows only real paths."""
    found = importlib.util.find_spec("_json")
    assert found
    assert found.origin
    if not os.path.isfile(found.origin):  # it is part of this Python
        return "2.0"
    copied = shutil.copy(found.origin, f)
    specification = importlib.util.spec_from_file_location("_json", copied)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert module.__file__ == copied
    return json.dumps(float(2), default=module.make_encoder)


# ---- libraries of Python


@operation([3, ["x.db"]])
def sqlite(f: str) -> Any:
    with sqlite3.connect(f"{f}/x.db") as database:
        database.execute("create table t (n)")
        database.execute("insert into t values (3)")
    database.close()
    with sqlite3.connect(f"{f}/x.db") as database:
        found = database.execute("select n from t").fetchone()[0]
    database.close()
    return [found, os.listdir(f)]


@operation("text")
def archives(f: str) -> Any:
    with zipfile.ZipFile(f"{f}/x.zip", "w") as archive:
        archive.write(make(f, "x"), "x")
    with zipfile.ZipFile(f"{f}/x.zip") as archive:
        return archive.read("x").decode()


@operation("{f}/module_of_ours.py")
def imports(f: str) -> Any:
    make(f, "module_of_ours.py")
    Path(f, "module_of_ours.py").write_text("")
    sys.path.insert(0, f)
    sys.modules.pop("module_of_ours", None)
    try:
        importlib.invalidate_caches()
        return importlib.import_module("module_of_ours").__file__
    finally:
        sys.path.remove(f)


# ---- programs


def script(f: str, name: str, first_line: str) -> str:
    """Write a script that prints its name, its arguments and its working directory."""
    path = make(f, name, text=f"#!{first_line}\necho $0 $@\npwd -P\n")
    os.chmod(path, 0o700)
    return path


@operation(["{f}/s 1", "./s 2", "{f}/s 3", "{f}/s 4"])
def scripts(f: str) -> Any:
    path = script(f, "s", "/bin/sh")
    os.chdir(f)
    return [
        run(path, "1").splitlines()[0],
        run("./s", "2").splitlines()[0],
        run("sh", "-c", f"'{path}' 3").splitlines()[0],
        run("s", "4", env={"PATH": f}).splitlines()[0],
    ]


@operation(["{f}/s x", "{f}/t y"])
def scripts_with_an_interpreter_there(f: str) -> Any:
    if " " in f:  # an interpreter's path must not contain spaces
        return [f"{f}/s x", f"{f}/t y"]
    os.symlink(shutil.which("sh") or "", f"{f}/interpreter")
    first, second = script(f, "s", f"{f}/interpreter"), script(f, "t", f" {f}/interpreter -e ")
    return [run(first, "x").splitlines()[0], run(second, "y").splitlines()[0]]


@operation(["EACCES", "ENOEXEC"])
def what_cannot_be_started(f: str) -> Any:
    path = make(f, "x", text="#!/bin/sh\n")
    plain = make(f, "y", text="nothing")
    os.chmod(path, 0o600)
    os.chmod(plain, 0o700)
    errors = []
    for each in (path, plain):
        try:
            subprocess.run([each], check=False)
        except OSError as error:
            errors.append(errno.errorcode[error.errno or 0])
    return errors


@operation(["{f}", "text", "text", "text", "text"])
def programs_with_an_environment_of_their_own(f: str) -> Any:
    path = make(f, "x")
    cat = shutil.which("cat") or ""
    reading, writing = os.pipe()
    child = os.posix_spawn(cat, [cat, path], {}, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)])
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as pipe:
        spawned = pipe.read()
    child = os.fork()
    if child == 0:
        number = os.open(f"{f}/y", os.O_CREAT | os.O_WRONLY)
        os.dup2(number, 1)
        os.execvpe("cat", ["cat", path], {})
    os.waitpid(child, 0)
    return [
        run(shutil.which("pwd") or "", cwd=f, env={}),
        run("env", "-i", cat, path),
        run(cat, path, env={"LD_PRELOAD": "", "DYLD_INSERT_LIBRARIES": ""}),
        spawned,
        Path(f, "y").read_text(),
    ]


@operation(["text", "text", "text"])
def the_shell(f: str) -> Any:
    path = make(f, "x")
    with os.popen(f"cat '{path}'") as output:
        text = output.read()
    os.system(f"cat '{path}' > '{f}/y'")
    preloaded = os.environ.pop("LD_PRELOAD", None)
    os.environ["LD_PRELOAD"] = "libc.so.6"
    os.system(f"case $LD_PRELOAD in *libc.so.6) cat '{path}' > '{f}/z';; esac")
    del os.environ["LD_PRELOAD"]
    if preloaded:
        os.environ["LD_PRELOAD"] = preloaded
    return [text, Path(f, "y").read_text(), Path(f, "z").read_text()]


@operation(["text", "{f}/z"])
def a_file_opened_for_a_child(f: str) -> Any:
    make(f, "x")
    action = (os.POSIX_SPAWN_OPEN, 1, f"{f}/y", os.O_CREAT | os.O_WRONLY, 0o600)
    shell = shutil.which("sh") or ""
    os.waitpid(os.posix_spawn(shell, [shell, "-c", f"cat '{f}/x'"], {}, file_actions=[action]), 0)
    os.mkdir(f"{f}/z")
    return [Path(f, "y").read_text(), run("sh", "-c", "cd z; pwd", cwd=f)]


@operation(["{f}/r", "?? new", "{f}/r/.git", "1"])
def git(f: str) -> Any:
    folder = f"{f}/r"
    author = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a",
    }
    environment = {"PATH": os.environ["PATH"], "HOME": f, **author}
    run("git", "init", "-q", folder, env=environment)
    make(folder, "x")
    run("git", "add", ".", cwd=folder, env=environment)
    run("git", "commit", "-qm", "x", cwd=folder, env=environment)
    make(folder, "new")
    return [
        run("git", "rev-parse", "--show-toplevel", cwd=folder),
        run("git", "-C", folder, "status", "--short"),
        run("git", "-C", folder, "rev-parse", "--absolute-git-dir"),
        run("git", "clone", "-q", folder, f"{f}/clone")
        + run("git", "-C", f"{f}/clone", "rev-list", "--count", "HEAD"),
    ]


@operation(["text", "text", "{f}/c/a/x", ["link", "x"], "3"])
def other_programs(f: str) -> Any:
    make(f, "a", "x")
    os.symlink(f"{f}/a/x", f"{f}/a/link")
    run("tar", "-cf", f"{f}/a.tar", "-C", f, "a")
    os.mkdir(f"{f}/b")
    run("tar", "-xf", f"{f}/a.tar", "-C", f"{f}/b")
    run("cp", "-a", f"{f}/a", f"{f}/c0")
    run("mv", f"{f}/c0", f"{f}/c1")
    os.mkdir(f"{f}/c")
    os.rename(f"{f}/c1", f"{f}/c/a")
    sqlite = shutil.which("sqlite3")
    counted = (
        run(sqlite, f"{f}/x.db", "create table t (n); insert into t values (3); select n from t")
        if sqlite
        else "3"
    )
    return [
        Path(f, "b/a/x").read_text(),
        Path(f, "b/a/link").read_text(),
        run("find", f"{f}/c", "-type", "f"),
        sorted(run("ls", f"{f}/c/a").split()),
        counted,
    ]


def outcome(function: Callable[[str], Any], folder: str) -> Any:
    """Perform an operation in a new folder and return its result, or the name of its error."""
    os.mkdir(folder)
    try:
        return function(folder)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    except Exception as error:  # noqa: BLE001 - it is the result
        return repr(error)
    finally:
        os.chdir("/")
        shutil.rmtree(folder)


def main(folders: list[str]) -> None:
    """Print the result of every operation in each folder; each time in a new one."""
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    results = {
        name: {folder: outcome(function, folder) for folder in folders}
        for name, (function, _) in OPERATIONS.items()
    }
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1:])
