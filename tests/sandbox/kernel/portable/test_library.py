"""The library of portable kernels is compiled once, by any installed compiler, and found later."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kedro_databricks_hybrid.sandbox.kernel import kinds
from kedro_databricks_hybrid.sandbox.kernel.portable import launch, library

_SOURCE = library.SOURCE


@pytest.fixture
def nothing_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a source that compiles fast, with no compiled library next to it or in the cache."""
    source = tmp_path / library.SOURCE.name
    source.write_text("int answer(void) { return 42; }\n")
    monkeypatch.setattr(library, "SOURCE", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return source


def test_it_is_compiled_once(nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is compiled into the user's cache and found there; a changed source compiles again."""
    assert library.find() is None
    made = library.provide()
    assert made.parent != nothing_compiled.parent
    assert ctypes.CDLL(str(made)).answer() == 42
    monkeypatch.setattr(library, "compilers", list)
    assert library.provide() == made
    with nothing_compiled.open("a") as file:
        file.write("\n")
    assert library.find() is None


def test_a_checkout_keeps_it_next_to_its_source(nothing_compiled: Path) -> None:
    """`make` puts the library next to its source, and keeps older ones that a sandbox may be using."""
    earlier = nothing_compiled.parent / library.file_name()
    assert library.main() == 0
    with nothing_compiled.open("a") as file:
        file.write("\n")
    assert library.main() == 0
    assert library.find() == nothing_compiled.parent / library.file_name() != earlier
    assert earlier.is_file()


def test_without_a_compiler_one_line_says_what_to_install(
    nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a compiler, one line names the compiler package to install."""
    monkeypatch.setenv("PATH", str(nothing_compiled.parent))
    monkeypatch.setattr(library, "ZIG", "no_such_package")
    assert library.main() == 1
    said = capsys.readouterr().err
    assert "`pip install no_such_package`" in said
    assert said.count("\n") == 1


def test_the_compiler_from_pypi_is_used_if_there_is_no_other(
    nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another compiler the one from PyPI is used, for an old glibc, so older systems can load it."""
    monkeypatch.setenv("PATH", str(nothing_compiled.parent))
    package = nothing_compiled.with_name("ziglang")
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(nothing_compiled.parent)
    importlib.invalidate_caches()
    (command,) = library.compilers()
    assert command[:4] == [sys.executable, "-m", "ziglang", "cc"]
    assert command[-1].endswith("-linux-gnu.2.17") == sys.platform.startswith("linux")


def test_a_wheel_contains_the_libraries_of_every_system(
    nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel has libraries for every system; this machine's is used without a compiler."""
    compiled = library.build(nothing_compiled.parent / "compiled")
    ready = nothing_compiled.parent / library.READY

    def compile_nothing(command: list[str], **_: Any) -> None:
        shutil.copy(compiled, command[command.index("-o") + 1])

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", compile_nothing)
        library.build_ready(ready)
    monkeypatch.setattr(library, "compilers", list)
    assert library.provide() == ready / library.file_name()
    assert len(list(ready.iterdir())) == 4


def test_a_compiler_that_fails_is_quoted(nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler fails: the message has its error, and no incomplete library is left."""
    nothing_compiled.write_text("#error nothing of the kind\n")
    with pytest.raises(library.NoLibraryError, match="nothing of the kind"):
        library.provide()
    monkeypatch.setattr(library, "compilers", lambda: [["/no/such/compiler"]])
    with pytest.raises(library.NoLibraryError, match="No such file"):
        library.build(nothing_compiled.parent)
    assert [path.name for path in nothing_compiled.parent.glob("*.so")] == []


def test_another_system_is_refused(nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows cannot preload a library."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(library.NoLibraryError, match="need Linux or macOS; this is win32"):
        library.build(nothing_compiled.parent)


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces are used if allowed, else bubblewrap, else the library, else an error with all reasons."""
    choose = kinds.chosen.__wrapped__
    refusals = {kinds.NAMESPACE: "No namespaces.", kinds.BUBBLEWRAP: "No bubblewrap."}
    monkeypatch.setattr(kinds, "_refusal", refusals.__getitem__)
    assert choose().kind == kinds.PORTABLE
    assert choose().refusal == ""
    assert choose(kinds.NAMESPACE).refusal == "No namespaces."
    assert choose(kinds.BUBBLEWRAP).refusal == "No bubblewrap."

    def refuse() -> Path:
        raise library.NoLibraryError("No compiler.")

    monkeypatch.setattr(library, "provide", refuse)
    assert choose().refusal == "No namespaces. No bubblewrap. No compiler."
    assert choose(kinds.PORTABLE).refusal == "No compiler."
    refusals[kinds.BUBBLEWRAP] = ""
    assert choose().kind == kinds.BUBBLEWRAP
    refusals[kinds.NAMESPACE] = ""
    assert choose().kind == kinds.NAMESPACE
    program = kinds.Kernels(kinds.PORTABLE, refusal="No compiler.").program(Path())
    done = subprocess.run([*program, "--", "true"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "No compiler.\n")


@pytest.mark.processes
def test_a_library_in_a_folder_with_blanks_is_loaded(tmp_path: Path) -> None:
    """The dynamic linker splits paths at spaces and colons, so it loads a temporary copy."""
    folder = tmp_path / "with blanks: ü"
    folder.mkdir()
    (folder / "x").write_text("text")
    copied = shutil.copy(library.provide(), folder)
    program = kinds.Kernels(kinds.PORTABLE, Path(copied)).program(folder / "own")
    bind = ["--parent", str(os.getpid()), "--bind", str(folder), "/Workspace", "--cwd", "/Workspace"]
    script = 'echo "$LD_PRELOAD$DYLD_INSERT_LIBRARIES"; cat /Workspace/x'
    done = subprocess.run(
        [*program, *bind, "--", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    used, text = done.stdout.split("\n")
    assert text == "text", done.stderr
    assert " " not in used
    assert not Path(used).exists()


def test_folders_are_bound_in_order(tmp_path: Path) -> None:
    """A later bind covers an earlier one, and a bind inside another has a folder there for listings."""
    top, inner = tmp_path / "a b", tmp_path / "inner"
    for folder in (top, inner):
        folder.mkdir()
    binds = [
        (top, Path("/Workspace")),
        (None, Path("/Workspace/Users")),
        (inner, Path("/Workspace/Users/me")),
    ]
    folders = launch.Folders([*binds], tmp_path / "hidden")
    assert folders.real("/Workspace/x") == str(top / "x")
    assert folders.real("/Workspace/Users/me/x") == str(inner / "x")
    assert folders.real("/Workspace/Users/other") == str(tmp_path / "hidden/1/other")
    assert folders.real("/usr/bin") == "/usr/bin"
    assert (tmp_path / "hidden/1/me").is_dir()
    users = f"/Workspace/Users=-{tmp_path}/hidden/1"
    assert folders.encoded().split() == [
        f"/Workspace={tmp_path}/a%20b", users, f"/Workspace/Users/me={inner}"
    ]  # fmt: skip


@pytest.mark.release
@pytest.mark.release
def test_the_compiler_from_pypi_compiles_for_every_system(
    nothing_compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pinned compiler builds the library for every system; this machine's then shows a folder."""
    pins = Path(__file__).resolve().parents[4] / "requirements" / "compiler.txt"
    folder = nothing_compiled.parent
    shutil.copy(_SOURCE, nothing_compiled)
    uv = [
        str(Path(sys.executable).parent / "uv"),
        "pip",
        "install",
        "--quiet",
        "--target",
        str(folder / "zig"),
    ]
    owner = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}  # for the settings and the cache of uv
    subprocess.run([*uv, "--require-hashes", "-r", str(pins)], env=owner, check=True)
    monkeypatch.setenv("PYTHONPATH", str(folder / "zig"))
    library.build_ready(folder / library.READY)
    assert len(list((folder / library.READY).iterdir())) == 4
    program = kinds.Kernels(kinds.PORTABLE, library.find()).program(folder / "own")
    bind = ["--parent", str(os.getpid()), "--bind", str(folder), "/Workspace", "--cwd", "/Workspace"]
    done = subprocess.run(
        [*program, *bind, "--", "ls", "/Workspace"], capture_output=True, text=True, check=False
    )
    assert "paths.c" in done.stdout.split(), done.stderr
