"""Run a command that sees chosen folders at absolute paths by way of the library, and leave no process of it.

The arguments and the exit status are those of namespace.py, with two more: `--library FILE`, and
`--folder FOLDER`, in which the empty folders lie that hidden ones show. Imports the standard library and
namespace.py alone, so that it starts in milliseconds.
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
"""Whether the system hands over processes whose parents have ended, and tells of a parent's end."""

BINDS_VARIABLE = "SANDBOX_BINDS"
PRELOAD_VARIABLE = "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD"

_SEPARATORS = " :"
"""Characters that the name of a preloaded library cannot have."""


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
        namespace.obey_signals()
        namespace.die_with(options.parent, signal.SIGTERM)
    with _loadable(options.library) as library:
        os.environ[BINDS_VARIABLE] = f"{folders.encoded()} {mark}"
        preloaded = filter(None, (str(library), os.environ.get(PRELOAD_VARIABLE)))
        os.environ[PRELOAD_VARIABLE] = ":".join(preloaded)
        os.chdir(folders.real(options.cwd))
        program = folders.real(options.command[0])
        if HAS_SUBREAPER:
            return namespace.keep(options.command, program)
        from kedro_databricks_hybrid.sandbox.kernel.portable import keeper

        return keeper.keep(options.command, program, options.parent, mark)


@contextmanager
def _loadable(library: Path) -> Iterator[Path]:
    """Yield the library at a path that can be preloaded."""
    if not any(separator in str(library) for separator in _SEPARATORS):
        yield library
        return
    with tempfile.TemporaryDirectory(prefix="kernel-library-") as scratch:
        yield Path(shutil.copyfile(library, Path(scratch) / library.name))


class Folders:
    """Which folders lie where for the command; what it needs of them is made.

    Args:
        binds: Folders and their targets, one after another; a target without a folder is hidden.
        scratch: Where the empty folders go that hidden targets show.
    """

    def __init__(self, binds: list[tuple[Path | None, Path]], scratch: Path) -> None:
        self._binds: list[tuple[str, str, bool]] = []
        for number, (source, target) in enumerate(binds):
            point = self.real(str(target))
            if point != str(target):  # it lies in another target, whose listing shows it
                Path(point).mkdir(mode=0o755, parents=True, exist_ok=True)
            folder = source or scratch / str(number)
            if source is None:
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._binds.append((os.path.realpath(folder), str(target), source is None))

    def real(self, path: str) -> str:
        """Return where a path of the command lies on this machine."""
        for source, target, _ in reversed(self._binds):
            if PurePosixPath(path).is_relative_to(target):
                return str(PurePosixPath(source) / PurePosixPath(path).relative_to(target))
        return path

    def encoded(self) -> str:
        """Return the binds as the library reads them."""
        return " ".join(
            f"{quote(os.fsencode(target))}={'-' if hidden else ''}{quote(os.fsencode(source))}"
            for source, target, hidden in self._binds
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
