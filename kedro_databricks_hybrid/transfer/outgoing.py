"""A local file as it is read to be sent: counted, and hashed in the same reading."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import Content, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
