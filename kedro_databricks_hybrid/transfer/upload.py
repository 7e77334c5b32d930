"""Send one local file: it is hashed as it is read, and what was read is what counts as sent."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from kedro_databricks_hybrid.errors import MachineError, TransferError
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import SMALL, Content, stamp_of
from kedro_databricks_hybrid.transfer.upload_journal import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Stamp
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_TRIES = 3


class ChangedError(Exception):
    """A file was written to while it was sent, so what was sent is of no use."""


class Part(io.RawIOBase):
    """A piece of a local file, as a stream that may be read again from its begin.

    Args:
        file: The local file.
        offset: Where the piece begins.
        size: Its bytes.
        advance: Called with the number of bytes that were read, negative where they will be read again.
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
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises:
            ChangedError: The file ends too early.
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
        """Go back to the begin, which is all that sending needs; what was read counts no more."""
        if whence != io.SEEK_SET or offset != 0:
            raise io.UnsupportedOperation
        self._advance(-self.count)
        self.count = 0
        self._file.seek(self._offset)
        return 0

    def tell(self) -> int:
        """Return where it is."""
        return self.count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class Source(Part):
    """A whole local file, hashed while it is read.

    Its content is told before its last byte is given out: whoever takes note of it then knows every file that
    can have arrived whole.

    Args:
        file: The local file.
        advance: Called with the number of bytes that were read, negative where they will be read again.
        whole: Called with the content once it is known.
    """

    def __init__(
        self, file: Path, advance: Callable[[int], None], whole: Callable[[Content], None] = lambda _: None
    ) -> None:
        status = file.stat()
        super().__init__(file, 0, status.st_size, advance)
        self.path = file
        self.stamp = stamp_of(status)
        self.content: Content | None = None
        self._digest = hashlib.sha256()
        self._whole = whole

    def read(self, size: int = -1) -> bytes:
        """Read on, and hash."""
        data = super().read(size)
        self._digest.update(data)
        if data and self.count == self.len:
            self._know(Content(self._digest.hexdigest(), self.len))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the begin."""
        self._digest = hashlib.sha256()
        return super().seek(offset, whence)

    def part(self, offset: int, size: int) -> Part:
        """Return a piece of it, to be read beside others."""
        return Part(self.path, offset, size, self._advance)

    def skip(self, size: int) -> None:
        """Count bytes that are there already."""
        self.count += size
        self._advance(size)

    def hash_whole(self) -> None:
        """Hash it apart from the sending, which reads the pieces in any order."""
        self._know(local.content_of(self.path))

    def require_unchanged(self) -> None:
        """Refuse to go on with a file that was written to.

        Raises:
            ChangedError: It was.
        """
        if stamp_of(os.stat(self.path)) != self.stamp:  # noqa: PTH116 - as `Part` opened it
            raise ChangedError

    def _know(self, content: Content) -> None:
        if content != self.content:
            self.content = content
            self._whole(content)


class VanishedError(TransferError):
    """A local file is gone or cannot be read any more; the others are sent all the same."""


@dataclass(frozen=True)
class UploadNotes:
    """Where it is written down what goes on with one file.

    Args:
        advance: Called with the number of bytes that went off.
        whole: Called with the content before its last byte goes off.
        unfinished: Opens what is known of an interrupted upload of a large file, given the file's stamp.
    """

    advance: Callable[[int], None] = lambda _: None
    whole: Callable[[Content], None] = lambda _: None
    unfinished: Callable[[Stamp], Unfinished] = field(default=lambda _: Unfinished())


def send_file(tree: RemoteTree, file: Path, path: PurePosixPath, books: UploadNotes) -> tuple[Content, Stamp]:
    """Send a file and return the content that was sent, with the stamp that the file had then.

    Raises:
        VanishedError: It cannot be read.
        TransferError: It does not stop changing.
    """
    try:
        for _ in range(_TRIES):
            is_small = file.stat().st_size <= SMALL
            sent = (_send_small if is_small else _send_large)(tree, file, path, books)
            if sent is not None:
                return sent
    except OSError as error:
        if str(error.filename) != str(file) or MachineError.of(error):
            raise
        raise VanishedError(
            f"{file} cannot be read any more: {error.strerror}.", hint="Push again."
        ) from error
    raise TransferError(f"{file} changes while it is pushed.", hint="Push again when it is complete.")


def _send_small(
    tree: RemoteTree, file: Path, path: PurePosixPath, books: UploadNotes
) -> tuple[Content, Stamp]:
    stamp = stamp_of(file.stat())
    data = file.read_bytes()
    content = Content(hashlib.sha256(data).hexdigest(), len(data))
    books.whole(content)
    tree.write(path, data)
    books.advance(len(data))
    return content, stamp


def _send_large(
    tree: RemoteTree, file: Path, path: PurePosixPath, books: UploadNotes
) -> tuple[Content, Stamp] | None:
    """Send a file, None if it was written to meanwhile."""
    with Source(file, books.advance, books.whole) as source:
        unfinished = books.unfinished(source.stamp)
        try:
            tree.upload(path, cast("BinaryIO", source), source.len, unfinished)
            source.require_unchanged()
        except ChangedError:
            books.advance(-source.count)
            return None
        finally:
            unfinished.close()
        return (source.content, source.stamp) if source.content else None
