"""The kinds of kernels, which see /Workspace, /dbfs and /Volumes, and the kind that this machine allows.

For a namespace kernel, the operating system binds the folders at their paths. Bubblewrap does the same on
machines that allow it to this program only. A portable kernel loads a library that replaces functions of the
C library to translate paths. The library needs no privileges and works in every dynamically linked program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kedro_databricks_hybrid.sandbox.kernel import namespace
from kedro_databricks_hybrid.sandbox.kernel.portable import library
from kedro_databricks_hybrid.sandbox.kernel.portable.launch import HAS_SUBREAPER

NAMESPACE, BUBBLEWRAP, PORTABLE = "namespace", "bubblewrap", "portable"
KINDS = (NAMESPACE, BUBBLEWRAP, PORTABLE)
"""The kinds in the order in which they are tried."""

_ROOT = Path(__file__).resolve().parents[3]
_LAUNCH = (
    f"import sys; sys.path.append({str(_ROOT)!r}); "
    "from kedro_databricks_hybrid.sandbox.kernel.portable.launch import main; sys.exit(main(sys.argv[1:]))"
)
_BWRAP = "bwrap"
_TRY_SECONDS = 30


@dataclass(frozen=True)
class Kernels:
    """How to start kernels.

    Attributes:
        kind: One of `KINDS`.
        library: The library that portable kernels load.
        refusal: Why no kernel can start; empty if kernels can start.
    """

    kind: str
    library: Path | None = None
    refusal: str = ""

    def program(self, folder: Path) -> list[str]:
        """Return the command that starts a kernel; the caller appends the binds and the kernel's command.

        Args:
            folder: The folder for the files of the kernel.
        """
        if self.refusal:
            return [sys.executable, "-I", "-S", "-c", "import sys; sys.exit(sys.argv[1])", self.refusal]
        if self.kind != PORTABLE:
            return _namespace_program(self.kind)
        files = ["--library", str(self.library), "--folder", str(folder / "hidden")]
        without_packages = ["-S"] if HAS_SUBREAPER else []
        return [sys.executable, "-I", *without_packages, "-c", _LAUNCH, *files]


@cache
def chosen(kind: str | None = None) -> Kernels:
    """Return how to start kernels on this machine; compiles the library first if it is missing.

    Args:
        kind: The requested kind; None for the first of `KINDS` that is allowed.
    """
    refusals = []
    for candidate in (NAMESPACE, BUBBLEWRAP):
        if kind in {None, candidate}:
            refusal = _refusal(candidate)
            if kind or not refusal:
                return Kernels(candidate, refusal=refusal)
            refusals.append(refusal)
    try:
        return Kernels(PORTABLE, library.provide())
    except library.NoLibraryError as error:
        return Kernels(PORTABLE, refusal=" ".join([*refusals, str(error)]))


def _namespace_program(kind: str) -> list[str]:
    program = [sys.executable, "-I", "-S", namespace.__file__]
    return [*program, "--bubblewrap", shutil.which(_BWRAP) or _BWRAP] if kind == BUBBLEWRAP else program


def _refusal(kind: str) -> str:
    """Return why this machine refuses namespaces to Python or to bubblewrap; empty if it allows them."""
    if kind == BUBBLEWRAP and not shutil.which(_BWRAP):
        return "Bubblewrap is not installed."
    command = [
        *_namespace_program(kind),
        "--parent",
        str(os.getpid()),
        "--bind",
        namespace.HIDDEN,
        "/Workspace",
    ]
    done = subprocess.run(
        [*command, "--", "true"], capture_output=True, text=True, timeout=_TRY_SECONDS, check=False
    )
    return done.stderr.strip() if done.returncode else ""
