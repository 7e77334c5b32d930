"""Find out whether a remote on this machine takes its history from a folder, such as the sandbox's home.

The home has the repositories of all users' Git folders. A clone of one of them would show its files to every
user of the sandbox.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

# What git appends to the path of a remote to find a repository.
_ENDINGS = ("", ".git", "/.git", ".git/.git", ".bundle")
_LONGEST_LINE = 4096
_MOST_LINKS = 1000  # a repository with more is taken for one that uses the folder
_DEPTH = 3  # .git/objects/pack/pack-1.pack


def comes_from(folder: Path, url: str, working_directory: Path) -> bool:
    """Whether a remote is a folder below this one, or is linked to one.

    Args:
        folder: The folder.
        url: The remote; a path may be relative to git's working directory.
        working_directory: That directory.
    """
    path = _local_path(url)
    if path is None:
        return False
    candidates = [os.path.realpath(f"{working_directory / path}{ending}") for ending in _ENDINGS]
    if any(_is_below(Path(each), folder) for each in candidates):
        return True
    waiting = [Path(each) for each in candidates if _is_repository(Path(each))]
    seen: set[Path] = set()
    while waiting:
        real = Path(os.path.realpath(waiting.pop()))
        if _is_below(real, folder) or len(seen) > _MOST_LINKS:
            return True
        if real not in seen:
            seen.add(real)
            with suppress(OSError):
                waiting += [*_named_by(real), *_links_in(real, _DEPTH)]
    return False


def _is_repository(path: Path) -> bool:
    """Whether git may take this for a repository, or for a file that names one."""
    return path.is_file() or os.path.lexists(path / "HEAD")


def _local_path(url: str) -> str | None:
    """Return the path of a remote on this machine, None for one on a server."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if "\0" in url or ("://" in url and parts.scheme != "file"):
        return None
    return unquote(parts.path) if "://" in url else url


def _named_by(path: Path) -> Iterator[Path]:
    """Yield the folders from which a repository takes objects, or the repository that a .git file names."""
    for file, base in (
        (path, path.parent),
        (path / "commondir", path),
        (path / "objects/info/alternates", path / "objects"),
        (path / "info/alternates", path),
    ):
        if file.is_file() and file.suffix != ".bundle":
            with file.open("rb") as content:
                lines = content.read(_LONGEST_LINE).splitlines()
            for line in lines:
                yield base / os.fsdecode(line.removeprefix(b"gitdir: ").replace(b"\0", b""))


def _links_in(folder: Path, depth: int) -> Iterator[Path]:
    if not depth or not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir():
                yield from _links_in(Path(entry.path), depth - 1)


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a path is in a folder, also on a disk that ignores case."""
    for above in (path, *path.parents):
        with suppress(OSError):
            if above.samefile(folder):
                return True
    return False
