"""The library of portable kernels: find it, or compile it.

`python -m kedro_databricks_hybrid.sandbox.kernel.portable.library` compiles it next to its source. With
`--ready` it compiles the library for every supported system into the folder that is part of wheels.
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
"""The package on PyPI that contains a C compiler."""

READY = "ready"
"""The folder next to the source for the compiled libraries in a wheel."""

_TARGETS = {
    ("linux", "x86_64"): "x86_64-linux-gnu.2.17",
    ("linux", "aarch64"): "aarch64-linux-gnu.2.17",
    ("darwin", "x86_64"): "x86_64-macos",
    ("darwin", "arm64"): "aarch64-macos",
}
"""The compiler target for each system and processor, with an old glibc so that it runs on every machine."""

_OPTIONS = ("-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra")
_COMPILE_SECONDS = 120


class NoLibraryError(Exception):
    """The library is missing and cannot be compiled; the message is one line for the user."""


def file_name(system: str = sys.platform, machine: str | None = None) -> str:
    """Return the library's file name, made from a hash of the source, the system and the processor.

    Args:
        system: A value of `sys.platform`.
        machine: A value of `platform.machine`; this machine's by default.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    suffix = "dylib" if system == "darwin" else "so"
    return f"paths-{digest}-{system}-{machine or _machine()}.{suffix}"


def find() -> Path | None:
    """Return the path of the library, None if it is not compiled yet."""
    folders = (SOURCE.parent / READY, SOURCE.parent, _cache())
    candidates = (folder / file_name() for folder in folders)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def provide() -> Path:
    """Return the path of the library; compile it if it is missing.

    Raises:
        NoLibraryError: No compiler is installed, or every compiler failed.
    """
    return find() or build(_cache())


def build(folder: Path) -> Path:
    """Compile the library into a folder and return its path.

    Raises:
        NoLibraryError: No compiler is installed, or every compiler failed.
    """
    if not sys.platform.startswith(("linux", "darwin")):
        raise NoLibraryError(f"Portable kernels need Linux or macOS; this is {sys.platform}.")
    failures = []
    for compiler in compilers():
        try:
            return _compile(compiler, folder / file_name())
        except (OSError, subprocess.SubprocessError) as error:  # noqa: PERF203 - try the next one
            output = getattr(error, "stderr", None) or str(error)
            failures.append(f" {compiler[0]}: {output.strip()[-200:]}")
    raise NoLibraryError(
        "Portable kernels need a library, and no installed C compiler can compile it."
        f" Install one: `pip install {ZIG}`, or your system's gcc or clang.{''.join(failures)}"
    )


def build_ready(folder: Path) -> None:
    """Compile the library for every supported system into a folder.

    Raises:
        NoLibraryError: The compiler from PyPI is not installed or fails.
    """
    try:
        for (system, machine), target in _TARGETS.items():
            _compile(_zig(target), folder / file_name(system, machine))
    except subprocess.CalledProcessError as error:
        raise NoLibraryError(f"The library does not compile: {error.stderr.strip()}") from error


def compilers() -> list[list[str]]:
    """Return the commands of the installed C compilers: the system's, then the one from PyPI."""
    paths = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    found = [[path] for path in paths if path][:1]
    if importlib.util.find_spec(ZIG):
        found.append(_zig(_TARGETS.get((sys.platform, platform.machine())) if _is_glibc() else None))
    return found


def _zig(target: str | None) -> list[str]:
    return [sys.executable, "-m", ZIG, "cc", "-s", *(["-target", target] if target else [])]


def _compile(compiler: list[str], library: Path) -> Path:
    """Compile into a temporary file and rename it, so that nobody loads an incomplete library."""
    library.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=library.parent, suffix=library.suffix)
    os.close(handle)
    try:
        subprocess.run(
            [*compiler, *_OPTIONS, "-o", temporary, str(SOURCE), "-ldl"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMPILE_SECONDS,
            check=True,
        )
        Path(temporary).chmod(0o755)
        return Path(temporary).replace(library)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _machine() -> str:
    """Return the processor, with a suffix if the C library is not glibc."""
    return platform.machine() + ("" if _is_glibc() else "-musl")


def _is_glibc() -> bool:
    return not sys.platform.startswith("linux") or platform.libc_ver()[0] == "glibc"


def _cache() -> Path:
    import platformdirs  # imported here, because `make` compiles before packages are installed

    return platformdirs.user_cache_path("kedro-databricks-hybrid", appauthor=False) / "portable"


def main() -> int:
    """Compile the library next to its source if it is missing; return the exit status."""
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
