"""Send one local file. It is hashed while it is read to be sent, so its digest is that of the bytes sent."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from kedro_databricks_hybrid.errors import MachineError, TransferError
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import SMALL, Content, stamp_of
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Stamp
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_TRIES = 3


class ChangedError(Exception):
    """A file was written to while it was sent, so the upload has to be repeated."""


class Part(io.RawIOBase):
    """A part of a local file, as a stream that can be rewound.

    Args:
        file: The local file.
        offset: Where the part begins.
        size: Its bytes.
        advance: Called with the number of bytes read; a negative number when they will be read again.
    """

    def __init__(self, file: Path, offset: int, size: int, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file.open("rb", buffering=0)
        self._offset = offset
        self._advance = advance
        self.len = size
        self.count = 0
        self._file.seek(offset)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes.

        Raises:
            ChangedError: The file has become shorter.
        """
        left = self.len - self.count
        wanted = left if size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self._file.read(wanted)
        if not data:
            raise ChangedError
        self.count += len(data)
        self._advance(len(data))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Rewind to the start, the only position allowed, and take back the progress."""
        if whence != io.SEEK_SET or offset != 0:
            raise io.UnsupportedOperation
        self._advance(-self.count)
        self.count = 0
        self._file.seek(self._offset)
        return 0

    def tell(self) -> int:
        """Return the position."""
        return self.count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class Source(Part):
    """A whole local file, hashed while it is read.

    `content_known` is called before the last byte is returned, so that the content of every file that may
    have arrived whole is recorded, even if the process is killed.

    Args:
        file: The local file.
        advance: Called with the number of bytes read; a negative number when they will be read again.
        content_known: Called with the content as soon as it is known.
    """

    def __init__(
        self,
        file: Path,
        advance: Callable[[int], None],
        content_known: Callable[[Content], None] = lambda _: None,
    ) -> None:
        status = file.stat()
        super().__init__(file, 0, status.st_size, advance)
        self.path = file
        self.stamp = stamp_of(status)
        self.content: Content | None = None
        self._digest = hashlib.sha256()
        self._content_known = content_known

    def read(self, size: int = -1) -> bytes:
        """Read and hash the next bytes."""
        data = super().read(size)
        self._digest.update(data)
        if data and self.count == self.len:
            self._set_content(Content(self._digest.hexdigest(), self.len))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Rewind to the start."""
        self._digest = hashlib.sha256()
        return super().seek(offset, whence)

    def part(self, offset: int, size: int) -> Part:
        """Open a part of it; several can be read at the same time."""
        return Part(self.path, offset, size, self._advance)

    def skip(self, size: int) -> None:
        """Count bytes that have arrived already as progress."""
        self.count += size
        self._advance(size)

    def hash_whole(self) -> None:
        """Read and hash the whole file, because parts are sent in any order."""
        self._set_content(local.content_of(self.path))

    def require_unchanged(self) -> None:
        """Check that the file was not written to.

        Raises:
            ChangedError: It was.
        """
        if stamp_of(os.stat(self.path)) != self.stamp:  # noqa: PTH116 - as `Part` opened it
            raise ChangedError

    def _set_content(self, content: Content) -> None:
        if content != self.content:
            self.content = content
            self._content_known(content)


class VanishedError(TransferError):
    """A local file disappeared or cannot be read any more; the other files are still sent."""


@dataclass(frozen=True)
class UploadCallbacks:
    """What is called while one file is sent.

    Args:
        advance: Called with the number of bytes sent.
        content_known: Called with the content before its last byte is sent.
        open_journal: Opens the journal of a large file's upload, given the file's stamp.
    """

    advance: Callable[[int], None] = lambda _: None
    content_known: Callable[[Content], None] = lambda _: None
    open_journal: Callable[[Stamp], UnfinishedUpload] = field(default=lambda _: UnfinishedUpload())


def send_file(
    tree: RemoteTree, file: Path, path: PurePosixPath, callbacks: UploadCallbacks
) -> tuple[Content, Stamp]:
    """Send a file and return the content that was sent and the file's stamp at that time.

    Raises:
        VanishedError: The file cannot be read.
        TransferError: The file keeps changing.
    """
    try:
        for _ in range(_TRIES):
            is_small = file.stat().st_size <= SMALL
            sent = (_send_small if is_small else _send_large)(tree, file, path, callbacks)
            if sent is not None:
                return sent
    except OSError as error:
        if str(error.filename) != str(file) or MachineError.of(error):
            raise
        raise VanishedError(
            f"{file} cannot be read any more: {error.strerror}.", hint="Push again."
        ) from error
    raise TransferError(f"{file} keeps changing while it is pushed.", hint="Push again when it is complete.")


def _send_small(
    tree: RemoteTree, file: Path, path: PurePosixPath, callbacks: UploadCallbacks
) -> tuple[Content, Stamp]:
    stamp = stamp_of(file.stat())
    data = file.read_bytes()
    content = Content(hashlib.sha256(data).hexdigest(), len(data))
    callbacks.content_known(content)
    tree.write(path, data)
    callbacks.advance(len(data))
    return content, stamp


def _send_large(
    tree: RemoteTree, file: Path, path: PurePosixPath, callbacks: UploadCallbacks
) -> tuple[Content, Stamp] | None:
    """Send a file; return None if it was written to meanwhile."""
    with Source(file, callbacks.advance, callbacks.content_known) as source:
        unfinished = callbacks.open_journal(source.stamp)
        try:
            tree.upload(path, cast("BinaryIO", source), source.len, unfinished)
            source.require_unchanged()
        except ChangedError:
            callbacks.advance(-source.count)
            return None
        finally:
            unfinished.close()
        return (source.content, source.stamp) if source.content else None
