"""A local file on its way: what really was read from it is what counts as sent."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, cast

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.files import SMALL, Content, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import LocalFile
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_TRIES = 3


class VanishedError(TransferError):
    """A local file is gone or cannot be read any more; the others are sent all the same."""


def send(tree: RemoteTree, file: Path, planned: LocalFile, advance: Callable[[int], None]) -> Content:
    """Send a file and return the content that was sent, which is newer than planned if it just changed.

    Args:
        tree: The data root.
        file: The local file.
        planned: What it was when it was read for the plan.
        advance: Called with the number of bytes that went off.

    Raises:
        VanishedError: It cannot be read.
        TransferError: It does not stop changing.
    """
    try:
        if file.stat().st_size <= SMALL:
            return _send_small(tree, file, planned.path, advance)
        for _ in range(_TRIES):
            sent = _send_large(tree, file, planned, advance)
            if sent is not None:
                return sent
    except OSError as error:
        if error.filename is None or str(error.filename) != str(file):
            raise
        raise VanishedError(
            f"{file} cannot be read any more: {error.strerror}.", hint="Push again."
        ) from error
    raise TransferError(f"{file} changes while it is pushed.", hint="Push again when it is complete.")


def _send_small(tree: RemoteTree, file: Path, path: PurePosixPath, advance: Callable[[int], None]) -> Content:
    content = file.read_bytes()
    tree.write(path, content)
    advance(len(content))
    return Content(hashlib.sha256(content).hexdigest(), len(content))


def _send_large(
    tree: RemoteTree, file: Path, planned: LocalFile, advance: Callable[[int], None]
) -> Content | None:
    """Send a file and return its content, None if it was written to meanwhile."""
    before = stamp_of(file.stat())
    size = before[0]
    with Source(file, advance) as source:
        tree.upload(planned.path, cast("BinaryIO", source), size)
        advance(size - source.count)
    content = planned.content if before == planned.stamp else local.content_of(file)
    return content if stamp_of(file.stat()) == before else None


class Source(io.RawIOBase):
    """A local file that counts what is read of it, from the last time that it was read from its begin.

    Args:
        file: The local file.
        advance: Called with the number of bytes that were read.
    """

    def __init__(self, file: Path, advance: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file.open("rb")
        self._advance = advance
        self.name = str(file)
        self.count = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read and count."""
        data = self._file.read(size)
        self.count += len(data)
        self._advance(len(data))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; from the begin on it is counted anew."""
        position = self._file.seek(offset, whence)
        if position == 0:
            self._advance(-self.count)
            self.count = 0
        return position

    def tell(self) -> int:
        """Return where it is."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
