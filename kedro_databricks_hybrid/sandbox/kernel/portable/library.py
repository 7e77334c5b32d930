"""The library of portable kernels: found ready made, or compiled by this machine.

`python -m kedro_databricks_hybrid.sandbox.kernel.portable.library` compiles it beside its source.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("paths.c")
ZIG = "ziglang"
"""The package on PyPI that brings a C compiler."""

_OPTIONS = ("-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
_OLDEST_GLIBC = "2.17"
_COMPILE_SECONDS = 120


class NoLibraryError(Exception):
    """There is no library and no way to compile it; the message is one line for the user."""


def file_name() -> str:
    """Return the library's file name: it tells the source, the system and the processor."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return f"paths-{digest}-{sys.platform}-{platform.machine()}.{suffix}"


def find() -> Path | None:
    """Return the library, None where it has to be compiled first."""
    places = (folder / file_name() for folder in (SOURCE.parent, _cache()))
    return next((place for place in places if place.is_file()), None)


def provide() -> Path:
    """Return the library, compiled now if it has to be.

    Raises:
        NoLibraryError: No compiler is installed, or none compiles it.
    """
    return find() or build(_cache())


def build(folder: Path) -> Path:
    """Compile the library into a folder; return its path there.

    Raises:
        NoLibraryError: No compiler is installed, or none compiles it.
    """
    if not sys.platform.startswith(("linux", "darwin")):
        raise NoLibraryError(f"Portable kernels need Linux or macOS; this is {sys.platform}.")
    said = []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for compiler in compilers():
        handle, draft = tempfile.mkstemp(dir=folder, suffix=".so")
        os.close(handle)
        try:
            done = subprocess.run(
                [*compiler, *_OPTIONS, "-o", draft, str(SOURCE), "-ldl"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMPILE_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                return Path(draft).replace(folder / file_name())
            said.append(f" {compiler[0]} failed: {done.stderr.strip()[-200:]}.")
        except (OSError, subprocess.TimeoutExpired) as error:
            said.append(f" {error}.")
        finally:
            Path(draft).unlink(missing_ok=True)
    raise NoLibraryError(
        "Portable kernels need a library that is compiled once, and no C compiler is installed that can."
        f" Install one: `pip install {ZIG}`, or your system's gcc or clang.{''.join(said)}"
    )


def compilers() -> list[list[str]]:
    """Return the commands of the C compilers on this machine: its own, then the one from PyPI."""
    own = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    found = [[path] for path in own if path][:1]
    if importlib.util.find_spec(ZIG):
        target = f"{platform.machine()}-linux-gnu.{_OLDEST_GLIBC}"
        on_linux = ["-target", target] if sys.platform.startswith("linux") else []
        found.append([sys.executable, "-m", ZIG, "cc", *on_linux])
    return found


def _cache() -> Path:
    import platformdirs  # `make` compiles before anything is installed

    return platformdirs.user_cache_path("kedro-databricks-hybrid", appauthor=False) / "portable"


def main() -> int:
    """Compile the library beside its source, unless it is there; return the exit status."""
    try:
        if not (SOURCE.parent / file_name()).is_file():
            build(SOURCE.parent)
    except NoLibraryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
