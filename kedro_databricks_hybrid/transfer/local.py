"""The local data folder: its files, what they hold, and this tool's own folder in it.

Digests are remembered, so that an unchanged file is not read again. The tool's folder ignores itself for Git,
and no push sends it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import HybridError, MachineError, TransferError
from kedro_databricks_hybrid.transfer.concurrency import run_all
from kedro_databricks_hybrid.transfer.files import (
    BLOCK,
    OURS,
    SMALL,
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
"""Ends the name of a file or folder that a pull has not finished."""

_DRAFT = re.compile(rf"\.[0-9a-f]{{8}}\.[0-9a-f]{{8}}{re.escape(PART_SUFFIX)}")

Found = dict[PurePosixPath, os.stat_result]
"""Local files by their path relative to the data folder."""
_DIGESTS_FILE = "digests.json"
_TOO_FRESH_NS = 2_000_000_000
"""A file modified this shortly before it was read may change again with the same time stamp."""


def find_files(data: Path, chosen: Iterable[Path] | None = None) -> Found:
    """Return the regular files of the data folder, without markers of Git and side files of a local Spark.

    Args:
        data: The data folder.
        chosen: Files and folders in it to restrict to, which need not exist; None takes all.

    Raises:
        TransferError: A path leaves the data folder, by `..` or by a link, or a folder cannot be read.
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
                walked = _files_below(str(start), "" if below == PurePosixPath() else f"{below}/", real_data)
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
    """Return files with their contents; only those that changed since they were last read are read.

    Raises:
        TransferError: A file cannot be read.
    """
    return as_files(found, contents_of(data, found, digests))


def as_files(found: Found, contents: Mapping[PurePosixPath, Content]) -> list[LocalFile]:
    """Put files and their contents together; a content that is missing was not read."""
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
    """Return what files hold; only those that changed since they were last read are read.

    Raises:
        TransferError: A file cannot be read.
    """

    def read(path: PurePosixPath) -> Content:
        return digests.content(data / path, path, found[path])

    try:
        # Threads help where hashing takes longer than starting them: Python hashes blocks side by side.
        large = [path for path, status in found.items() if status.st_size > SMALL]
        contents = dict(zip(large, run_all(read, large), strict=True))
        return {path: contents.get(path) or read(path) for path in found}
    except OSError as error:
        raise _unreadable(error) from error


def content_of(path: Path) -> Content:
    """Read a file and return what identifies its content."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray(BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
            size += count
    return Content(digest.hexdigest(), size)


def layer_folders(data: Path) -> list[PurePosixPath]:
    """Return the folders directly in the data folder: Kedro's layers."""
    if not data.is_dir():
        return []
    return sorted(
        PurePosixPath(entry.name)
        for entry in data.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def is_draft(name: str) -> bool:
    """Tell whether a name is one that a pull gives to what it has not finished."""
    return _DRAFT.fullmatch(name) is not None


def inside(data: Path, path: Path) -> PurePosixPath:
    """Return a path relative to the data folder, whether or not it exists.

    Raises:
        TransferError: It is not in there.
    """
    plain = Path(os.path.normpath(path))
    top = Path(os.path.normpath(data))
    if not plain.is_relative_to(top):
        raise TransferError(
            f"{path} is not in the data folder {data}.",
            hint="Name files or folders in it, or change data.local in databricks.yml.",
        )
    return PurePosixPath(plain.relative_to(top).as_posix())


def require(path: Path) -> None:
    """Refuse a path that does not exist.

    Raises:
        TransferError: There is nothing.
    """
    if not os.path.lexists(path):
        raise TransferError(f"{path} does not exist.", hint="Name files or folders of the data folder.")


def named(data: Path, names: Collection[str]) -> list[Path]:
    """Return what a user means by names typed at the shell: from there, or else from the data folder.

    Raises:
        TransferError: A name leads out of the data folder.
    """
    paths = []
    for name in names:
        from_here = Path.cwd() / name
        starts_in_data = Path(os.path.normpath(from_here)).is_relative_to(os.path.normpath(data))
        path = from_here if starts_in_data or ".." in Path(name).parts else data / name
        inside(data, path)
        paths.append(Path(os.path.normpath(path)))
    return paths


def _files_below(folder: str, name: str, real_data: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield each file's name below the data folder, its path and its status; strings, as they are many."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                target = Path(os.path.realpath(entry.path))
                if not target.is_relative_to(real_data):
                    raise _link_out(name + entry.name, target)
                if entry.is_dir() and Path(os.path.realpath(folder)).is_relative_to(target):
                    continue  # a link back up: what it leads to is walked already
            if entry.is_dir():
                if entry.name != OURS and not is_draft(entry.name):
                    yield from _files_below(entry.path, f"{name}{entry.name}/", real_data)
            elif entry.is_file():
                yield name + entry.name, entry.path, entry.stat()


def _link_out(name: str, target: Path) -> TransferError:
    return TransferError(
        f"{name} is a link to {target}, outside the data folder.",
        hint="Copy the data into the folder, or remove the link.",
    )


def _is_data(name: str) -> bool:
    is_checksum = name.startswith(".") and name.endswith(".crc")
    return name not in _MARKERS and not is_checksum and not is_draft(name)


def _require_readable(path: str) -> None:
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _unreadable(error: OSError) -> HybridError:
    return MachineError.of(error) or TransferError(
        f"{error.filename} cannot be read: {error.strerror}.", hint="Mend its permissions or remove it."
    )


class Digests:
    """Digests of the files of one data folder.

    A file counts as unchanged while its size, its modification time and its inode's change time are the same.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._changed = False
        try:
            stored = json.loads(own_path(data, _DIGESTS_FILE).read_text(encoding="utf-8"))
            self._known = {path: (tuple(stamp), digest) for path, (stamp, digest) in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # then every file is read

    def content(self, file: Path, path: PurePosixPath, status: os.stat_result) -> Content:
        """Return a file's content, read only if need be.

        Args:
            file: Where it is.
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
        """Return the content of a file that has not changed since it was read, None of any other."""
        known = self._known.get(str(path))
        return Content(known[1], status.st_size) if known and known[0] == stamp_of(status) else None

    def note(self, path: PurePosixPath, stamp: Stamp, content: Content) -> None:
        """Remember what was read while a file had a stamp."""
        _, modified, changed = stamp
        if time.time_ns() - max(modified, changed) > _TOO_FRESH_NS:
            self._known[str(path)] = (stamp, content.digest)
            self._changed = True

    def save(self) -> None:
        """Keep them for the next time."""
        if self._changed:
            write_own(self._data, _DIGESTS_FILE, json.dumps(self._known))


def own_path(data: Path, name: str) -> Path:
    """Return where a file of ours is or would be."""
    return data / OURS / name


def make_own_folder(data: Path) -> Path:
    """Return the folder, made if need be.

    Raises:
        MachineError: The disk is full, or the like.
        TransferError: The data folder cannot be written.
    """
    folder = data / OURS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write_own(data: Path, name: str, content: str | bytes) -> None:
    """Replace a file of ours by a whole one.

    Raises:
        MachineError: The disk is full, or the like.
        TransferError: The data folder cannot be written.
    """
    target = make_own_folder(data) / name
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(exist_ok=True)
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, target)  # noqa: PTH105 - the name tells that it replaces
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unwritable(target, error) from error


def _unwritable(file: Path, error: OSError) -> HybridError:
    return MachineError.of(error, file) or TransferError(
        f"{file} cannot be written: {error.strerror}.", hint="Fix that, then try again."
    )
