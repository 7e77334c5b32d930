"""Run a command that sees folders at absolute paths through the library, and kill its processes at its end.

The arguments and the exit status are those of namespace.py, with two additional arguments: `--library FILE`,
and `--folder FOLDER` for the empty folders that are shown in place of hidden ones. Imports only the standard
library and namespace.py so that it starts in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from kedro_databricks_hybrid.sandbox.kernel import namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_SUBREAPER = sys.platform.startswith("linux")
"""Whether the system gives orphaned processes to a subreaper and signals the death of a parent."""

BINDS_VARIABLE = "SANDBOX_BINDS"
PRELOAD_VARIABLE = "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD"

_SEPARATORS = " :"
"""Characters that the path of a preloaded library must not contain."""


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` describe and return its exit status."""
    parser = argparse.ArgumentParser(prog="launch.py", allow_abbrev=False)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    namespace.add_arguments(parser)
    options = parser.parse_args(arguments)
    folders = Folders(namespace.binds_of(options), options.folder)
    mark = f"#{os.urandom(16).hex()}"
    if HAS_SUBREAPER:
        namespace.handle_signals()
        namespace.die_with(options.parent, signal.SIGTERM)
    with _loadable(options.library) as library:
        os.environ[BINDS_VARIABLE] = f"{folders.encoded()} {mark}"
        preloaded = filter(None, (str(library), os.environ.get(PRELOAD_VARIABLE)))
        os.environ[PRELOAD_VARIABLE] = ":".join(preloaded)
        os.chdir(folders.real(options.cwd))
        program = folders.real(options.command[0])
        if HAS_SUBREAPER:
            return namespace.supervise(options.command, program)
        from kedro_databricks_hybrid.sandbox.kernel.portable import supervisor

        return supervisor.supervise(options.command, program, options.parent, mark)


@contextmanager
def _loadable(library: Path) -> Iterator[Path]:
    """Yield a path of the library that can be preloaded, of a copy if necessary."""
    if not any(separator in str(library) for separator in _SEPARATORS):
        yield library
        return
    with tempfile.TemporaryDirectory(prefix="kernel-library-") as scratch:
        yield Path(shutil.copyfile(library, Path(scratch) / library.name))


class Folders:
    """The folders that the command sees; creates the empty folders and mount points that are missing.

    Args:
        binds: Source folders and their targets, in order; the source None hides the target.
        scratch: The folder for the empty folders that are shown in place of hidden ones.
    """

    def __init__(self, binds: list[tuple[Path | None, Path]], scratch: Path) -> None:
        self._binds: list[tuple[str, str, bool]] = []
        for number, (source, target) in enumerate(binds):
            point = self.real(str(target))
            if point != str(target):  # inside another target; makes that folder's listing show it
                Path(point).mkdir(mode=0o755, parents=True, exist_ok=True)
            folder = source or scratch / str(number)
            if source is None:
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._binds.append((os.path.realpath(folder), str(target), source is None))

    def real(self, path: str) -> str:
        """Return the path on this machine of a path that the command sees."""
        for source, target, _ in reversed(self._binds):
            if PurePosixPath(path).is_relative_to(target):
                return str(PurePosixPath(source) / PurePosixPath(path).relative_to(target))
        return path

    def encoded(self) -> str:
        """Return the binds in the format that the library reads."""
        return " ".join(
            f"{quote(os.fsencode(target))}={'-' if hidden else ''}{quote(os.fsencode(source))}"
            for source, target, hidden in self._binds
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
