"""The local data folder: its files, their contents, and the plugin's state folder in it.

Digests are cached, so that an unchanged file is not read again. The state folder has a .gitignore for itself,
and a push does not send it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.disk import replace_file
from kedro_databricks_hybrid.errors import HybridError, MachineError, TransferError
from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer.files import (
    BLOCK,
    SMALL,
    STATE_FOLDER,
    Content,
    LocalFile,
    Stamp,
    path_of,
    stamp_of,
    unread,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_MARKERS = {".gitkeep", ".DS_Store"}
PART_SUFFIX = ".kedro-part"
"""The end of a draft's name: a file or folder that a pull has not finished."""

_DRAFT = re.compile(rf"\.[0-9a-f]{{8}}\.[0-9a-f]{{8}}{re.escape(PART_SUFFIX)}")

Found = dict[PurePosixPath, os.stat_result]
"""Local files by their path relative to the data folder."""
_DIGESTS_FILE = "digests.json"
_MOST_LINKS = 10_000
"""How many links to folders one walk follows: a few folders with links to each other look like very many."""

_DEEPEST = 200
"""How many folders in each other a walk enters; the sandbox refuses deeper paths, too."""

_TOO_FRESH_NS = 2_000_000_000
"""A file that was modified within this time before it was read may change again with the same time stamp."""


def find_files(data: Path, chosen: Iterable[Path] | None = None) -> Found:
    """Return the regular files of the data folder, without .gitkeep and the checksum files of a local Spark.

    Args:
        data: The data folder.
        chosen: Files and folders to restrict to, which need not exist; None means all.

    Raises:
        TransferError: A path leads out of the data folder, by `..` or by a link; a link leads to a folder
            above it; a folder cannot be read.
    """
    found: Found = {}
    real_data = Path(os.path.realpath(data))
    for start in [data] if chosen is None else chosen:
        inside(data, start)
        if not os.path.lexists(start):
            continue
        target = Path(os.path.realpath(start))
        if not target.is_relative_to(real_data):
            raise _link_out(inside(data, start).as_posix(), target)
        try:
            if start.is_dir():
                below = PurePosixPath(inside(data, start).as_posix())
                prefix = "" if below == PurePosixPath() else f"{below}/"
                walked = _Walk(real_data).files_below(str(start), prefix)
            else:
                walked = iter([(inside(data, start).as_posix(), str(start), start.stat())])
            for name, path, status in walked:
                if _is_data(name.rpartition("/")[2]) and stat.S_ISREG(status.st_mode):
                    _require_readable(path)
                    found[path_of(name)] = status
        except OSError as error:
            raise _unreadable(error) from error
    return dict(sorted(found.items()))


def read_files(data: Path, found: Found, digests: Digests) -> list[LocalFile]:
    """Return files with their contents; reads only those that changed since they were last read.

    Raises:
        TransferError: A file cannot be read.
    """
    return as_files(found, contents_of(data, found, digests))


def as_files(found: Found, contents: Mapping[PurePosixPath, Content]) -> list[LocalFile]:
    """Combine files with their contents; a file without one has not been read."""
    return [
        LocalFile(
            path,
            contents.get(path) or unread(status.st_size),
            status.st_mtime_ns // 1_000_000,
            stamp_of(status),
        )
        for path, status in found.items()
    ]


def contents_of(data: Path, found: Found, digests: Digests) -> dict[PurePosixPath, Content]:
    """Return the contents of files; reads only those that changed since they were last read.

    Raises:
        TransferError: A file cannot be read.
    """

    def read(path: PurePosixPath) -> Content:
        return digests.content(data / path, path, found[path])

    try:
        # Threads pay off for large files: hashlib releases the GIL.
        large = [path for path, status in found.items() if status.st_size > SMALL]
        contents = dict(zip(large, run_all(read, large), strict=True))
        return {path: contents.get(path) or read(path) for path in found}
    except OSError as error:
        raise _unreadable(error) from error


def content_of(path: Path) -> Content:
    """Read a file and return its content."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray(BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
            size += count
    return Content(digest.hexdigest(), size)


def layer_folders(data: Path) -> list[PurePosixPath]:
    """Return the folders directly in the data folder: Kedro's data layers."""
    if not data.is_dir():
        return []
    return sorted(
        PurePosixPath(entry.name)
        for entry in data.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def is_draft(name: str) -> bool:
    """Return whether a name is that of a draft of a pull."""
    return _DRAFT.fullmatch(name) is not None


def inside(data: Path, path: Path) -> PurePosixPath:
    """Return a path relative to the data folder; it need not exist.

    Raises:
        TransferError: The path is outside the data folder.
    """
    plain = Path(os.path.normpath(path))
    top = Path(os.path.normpath(data))
    if not plain.is_relative_to(top):
        raise TransferError(
            f"{path} is not in the data folder {data}.",
            hint="Give files or folders in it, or change data.local in databricks.yml.",
        )
    return PurePosixPath(plain.relative_to(top).as_posix())


def require(path: Path) -> None:
    """Refuse a path that does not exist.

    Raises:
        TransferError: It does not exist.
    """
    if not os.path.lexists(path):
        raise TransferError(f"{path} does not exist.", hint="Give files or folders in the data folder.")


def named(data: Path, names: Collection[str]) -> list[Path]:
    """Resolve paths typed at the shell: relative to the working directory if that is in the data folder.

    Otherwise they are relative to the data folder.

    Raises:
        TransferError: A path leads out of the data folder.
    """
    paths = []
    for name in names:
        from_here = Path.cwd() / name
        starts_in_data = Path(os.path.normpath(from_here)).is_relative_to(os.path.normpath(data))
        path = from_here if starts_in_data or ".." in Path(name).parts else data / name
        inside(data, path)
        paths.append(Path(os.path.normpath(path)))
    return paths


class _Walk:
    """A walk through folders of the data folder, which follows links inside it."""

    def __init__(self, real_data: Path) -> None:
        self._real_data = real_data
        self._links = 0

    def files_below(
        self, folder: str, name: str, through: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str, os.stat_result]]:
        """Yield each file's path relative to the data folder, its path and its status; strings, for speed.

        Args:
            folder: The folder.
            name: Its path relative to the data folder, with a slash at the end.
            through: The real paths of the folders whose links were followed to get here.
        """
        if name.count("/") > _DEEPEST:
            raise TransferError(
                f"{name[:100]}... has more than {_DEEPEST} folders in each other.",
                hint="Delete them, or move them up.",
            )
        with os.scandir(folder) as entries:
            for entry in entries:
                left = through
                if entry.is_symlink():
                    target = Path(os.path.realpath(entry.path))
                    if not target.is_relative_to(self._real_data):
                        raise _link_out(name + entry.name, target)
                    if entry.is_dir():
                        left = (*through, os.path.realpath(folder))
                        self._follow(name + entry.name, target, left)
                if entry.is_dir():
                    if entry.name != STATE_FOLDER and not is_draft(entry.name):
                        yield from self.files_below(entry.path, f"{name}{entry.name}/", left)
                elif entry.is_file():
                    yield name + entry.name, entry.path, entry.stat()

    def _follow(self, name: str, target: Path, through: tuple[str, ...]) -> None:
        """Refuse a link to a folder above it, and very many links."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise TransferError(
                f"The data folder has more than {_MOST_LINKS} folders behind links, for example {name}.",
                hint="Remove links to folders that have links to folders themselves.",
            )
        if any(Path(each).is_relative_to(target) for each in through):
            raise TransferError(f"{name} is a link to a folder above it ({target}).", hint="Remove the link.")


def _link_out(name: str, target: Path) -> TransferError:
    return TransferError(
        f"{name} is a link to {target}, outside the data folder.",
        hint="Copy the data into the data folder, or remove the link.",
    )


def _is_data(name: str) -> bool:
    is_checksum = name.startswith(".") and name.endswith(".crc")
    return name not in _MARKERS and not is_checksum and not is_draft(name)


def _require_readable(path: str) -> None:
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _unreadable(error: OSError) -> HybridError:
    return MachineError.of(error) or TransferError(
        f"{error.filename} cannot be read: {error.strerror}.", hint="Fix its permissions or remove it."
    )


class Digests:
    """A cache of the digests of one data folder's files.

    A file counts as unchanged while its stamp is the same: size, modification time and change time.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._changed = False
        try:
            stored = json.loads(state_path(data, _DIGESTS_FILE).read_text(encoding="utf-8"))
            self._known = {path: (tuple(stamp), digest) for path, (stamp, digest) in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # without a cache every file is read

    def content(self, file: Path, path: PurePosixPath, status: os.stat_result) -> Content:
        """Return a file's content, from the cache or by reading it.

        Args:
            file: The file.
            path: Its path relative to the data folder.
            status: Its status before it is read.
        """
        known = self.known(path, status)
        if known:
            return known
        content = content_of(file)
        self.note(path, stamp_of(status), content)
        return content

    def known(self, path: PurePosixPath, status: os.stat_result) -> Content | None:
        """Return the cached content of an unchanged file, otherwise None."""
        known = self._known.get(str(path))
        return Content(known[1], status.st_size) if known and known[0] == stamp_of(status) else None

    def note(self, path: PurePosixPath, stamp: Stamp, content: Content) -> None:
        """Cache a content that was read while the file had a stamp, unless the file is too new to tell."""
        _, modified, changed = stamp
        if time.time_ns() - max(modified, changed) > _TOO_FRESH_NS:
            self._known[str(path)] = (stamp, content.digest)
            self._changed = True

    def save(self) -> None:
        """Write the cache to the state folder."""
        if self._changed:
            write_state(self._data, _DIGESTS_FILE, json.dumps(self._known))


def state_path(data: Path, name: str) -> Path:
    """Return the path of a file in the state folder."""
    return data / STATE_FOLDER / name


def make_state_folder(data: Path) -> Path:
    """Make the state folder if it is missing, and return it.

    Raises:
        MachineError: The disk is full, read-only or broken.
        TransferError: The data folder cannot be written.
    """
    folder = data / STATE_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write_state(data: Path, name: str, content: str | bytes) -> None:
    """Replace a file in the state folder atomically.

    Raises:
        MachineError: The disk is full, read-only or broken.
        TransferError: The data folder cannot be written.
    """
    target = make_state_folder(data) / name
    try:
        replace_file(target, content)
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(file: Path, error: OSError) -> HybridError:
    return MachineError.of(error, file) or TransferError(
        f"{file} cannot be written: {error.strerror}.", hint="Fix that and try again."
    )
