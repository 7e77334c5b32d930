"""The library of portable kernels: found ready made, or compiled by this machine.

`python -m kedro_databricks_hybrid.sandbox.kernel.portable.library` compiles it beside its source; with
`--ready` for every system that the compiler from PyPI knows, in the folder that wheels carry.
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

READY = "ready"
"""The folder beside the source that wheels carry."""

_TARGETS = {
    ("linux", "x86_64"): "x86_64-linux-gnu.2.17",
    ("linux", "aarch64"): "aarch64-linux-gnu.2.17",
    ("darwin", "x86_64"): "x86_64-macos",
    ("darwin", "arm64"): "aarch64-macos",
}
"""Systems and processors, and what the compiler from PyPI calls them: old enough for every machine."""

_OPTIONS = ("-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra")
_COMPILE_SECONDS = 120


class NoLibraryError(Exception):
    """There is no library and no way to compile it; the message is one line for the user."""


def file_name(system: str = sys.platform, machine: str | None = None) -> str:
    """Return the library's file name: it tells the source, the system and the processor.

    Args:
        system: As `sys.platform` has it.
        machine: As `platform.machine` has it; this one by default.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    suffix = "dylib" if system == "darwin" else "so"
    return f"paths-{digest}-{system}-{machine or _machine()}.{suffix}"


def find() -> Path | None:
    """Return the library, None where it has to be compiled first."""
    folders = (SOURCE.parent / READY, SOURCE.parent, _cache())
    places = (folder / file_name() for folder in folders)
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
    for compiler in compilers():
        try:
            return _compile(compiler, folder / file_name())
        except (OSError, subprocess.SubprocessError) as error:  # noqa: PERF203 - the next one may do
            words = getattr(error, "stderr", None) or str(error)
            said.append(f" {compiler[0]}: {words.strip()[-200:]}")
    raise NoLibraryError(
        "Portable kernels need a library that is compiled once, and no C compiler is installed that can."
        f" Install one: `pip install {ZIG}`, or your system's gcc or clang.{''.join(said)}"
    )


def build_ready(folder: Path) -> None:
    """Compile the library for every system, into a folder.

    Raises:
        NoLibraryError: The compiler from PyPI is not installed, or fails.
    """
    try:
        for (system, machine), target in _TARGETS.items():
            _compile(_zig(target), folder / file_name(system, machine))
    except subprocess.CalledProcessError as error:
        raise NoLibraryError(f"The library does not compile: {error.stderr.strip()}") from error


def compilers() -> list[list[str]]:
    """Return the commands of the C compilers on this machine: its own, then the one from PyPI."""
    own = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    found = [[path] for path in own if path][:1]
    if importlib.util.find_spec(ZIG):
        found.append(_zig(_TARGETS.get((sys.platform, platform.machine())) if _is_glibc() else None))
    return found


def _zig(target: str | None) -> list[str]:
    return [sys.executable, "-m", ZIG, "cc", "-s", *(["-target", target] if target else [])]


def _compile(compiler: list[str], library: Path) -> Path:
    """Put the library at its place in one step, so that a process beside this one never sees half of it."""
    library.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=library.parent, suffix=library.suffix)
    os.close(handle)
    try:
        subprocess.run(
            [*compiler, *_OPTIONS, "-o", draft, str(SOURCE), "-ldl"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMPILE_SECONDS,
            check=True,
        )
        Path(draft).chmod(0o755)
        return Path(draft).replace(library)
    finally:
        Path(draft).unlink(missing_ok=True)


def _machine() -> str:
    """Return the processor, and the C library where it is not the one that nearly all have."""
    return platform.machine() + ("" if _is_glibc() else "-musl")


def _is_glibc() -> bool:
    return not sys.platform.startswith("linux") or platform.libc_ver()[0] == "glibc"


def _cache() -> Path:
    import platformdirs  # `make` compiles before anything is installed

    return platformdirs.user_cache_path("kedro-databricks-hybrid", appauthor=False) / "portable"


def main() -> int:
    """Compile the library beside its source, unless it is there; return the exit status."""
    try:
        if sys.argv[1:] == ["--ready"]:
            build_ready(SOURCE.parent / READY)
        elif not (SOURCE.parent / file_name()).is_file():
            build(SOURCE.parent)
    except NoLibraryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
