"""The two ways in which kernels see /Workspace, /dbfs and /Volumes, and which one this machine allows.

A namespace kernel has the folders bound at their paths by the kernel of the operating system. A portable one
has a library that does the same in the functions of the C library: it needs no privilege, and reaches every
program that is dynamically linked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kedro_databricks_hybrid.sandbox.kernel import namespace
from kedro_databricks_hybrid.sandbox.kernel.portable import library
from kedro_databricks_hybrid.sandbox.kernel.portable.launch import HAS_SUBREAPER

NAMESPACE, PORTABLE = "namespace", "portable"
KINDS = (NAMESPACE, PORTABLE)

_ROOT = Path(__file__).resolve().parents[3]
_LAUNCH = (
    f"import sys; sys.path.append({str(_ROOT)!r}); "
    "from kedro_databricks_hybrid.sandbox.kernel.portable.launch import main; sys.exit(main(sys.argv[1:]))"
)
_TRY_SECONDS = 30


@dataclass(frozen=True)
class Kernels:
    """How kernels are started.

    Attributes:
        kind: One of `KINDS`.
        library: What portable kernels load.
        refusal: Why none can be started, empty where they can.
    """

    kind: str
    library: Path | None = None
    refusal: str = ""

    def program(self, folder: Path) -> list[str]:
        """Return the command that starts a kernel, to which its binds and its own command are added.

        Args:
            folder: Where it may put files of its own.
        """
        if self.refusal:
            return [sys.executable, "-I", "-S", "-c", "import sys; sys.exit(sys.argv[1])", self.refusal]
        if self.library is None:
            return [sys.executable, "-I", "-S", namespace.__file__]
        own = ["--library", str(self.library), "--folder", str(folder / "hidden")]
        without_packages = ["-S"] if HAS_SUBREAPER else []
        return [sys.executable, "-I", *without_packages, "-c", _LAUNCH, *own]


@cache
def chosen(wanted: str | None = None) -> Kernels:
    """Return how kernels are started on this machine; takes as long as a compiler where one is needed.

    Args:
        wanted: The kind; None is namespaces where they are allowed, else portable.
    """
    refusal = ""
    if wanted != PORTABLE:
        refusal = _refusal()
        if not refusal or wanted == NAMESPACE:
            return Kernels(NAMESPACE, refusal=refusal)
    try:
        return Kernels(PORTABLE, library.provide())
    except library.NoLibraryError as error:
        return Kernels(PORTABLE, refusal=f"{refusal} {error}".strip())


def _refusal() -> str:
    """Return why namespaces are refused, empty where they are not."""
    command = [sys.executable, "-I", "-S", namespace.__file__, "--parent", str(os.getpid())]
    done = subprocess.run(
        [*command, "--", "true"], capture_output=True, text=True, timeout=_TRY_SECONDS, check=False
    )
    return done.stderr.strip() if done.returncode else ""
