"""Uploads to DBFS in blocks: a handle stands for a file that is not there before it is closed."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import ApiError, missing

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.dbfs import Dbfs

MAX_BLOCK_BYTES = 1024 * 1024
IDLE_SECONDS = 600.0


@dataclass
class _Stream:
    owner: str
    path: str
    overwrite: bool
    upload: Path
    used: float


class DbfsStreams:
    """The handles that are open; an idle one is closed without its file.

    Attributes:
        idle_seconds: How long a handle may be idle.
    """

    def __init__(self, dbfs: Dbfs, scratch: Path) -> None:
        self.idle_seconds = IDLE_SECONDS
        self._dbfs = dbfs
        self._scratch = scratch
        self._streams: dict[int, _Stream] = {}

    def create(self, owner: str, path: str, *, overwrite: bool) -> int:
        """Open a handle for a file that may be written."""
        self._drop_idle()
        self._dbfs.check_writable(path, overwrite=overwrite)
        handle = 1 + secrets.randbelow(2**53)
        upload = self._scratch / f"stream-{handle}"
        upload.touch(mode=0o600)
        self._streams[handle] = _Stream(owner, path, overwrite, upload, time.monotonic())
        return handle

    def add_block(self, owner: str, handle: int, data: bytes) -> None:
        """Append at most one megabyte."""
        stream = self._open(owner, handle)
        check_block(data)
        with stream.upload.open("ab") as file:
            file.write(data)
        stream.used = time.monotonic()

    def close(self, owner: str, handle: int) -> None:
        """Put the file in its place."""
        stream = self._open(owner, handle)
        del self._streams[handle]
        try:
            self._dbfs.put_in_place(stream.upload, stream.path, overwrite=stream.overwrite)
        finally:
            stream.upload.unlink(missing_ok=True)

    def _open(self, owner: str, handle: int) -> _Stream:
        self._drop_idle()
        stream = self._streams.get(handle)
        if stream is None or stream.owner != owner:
            raise missing(f"No stream opened with handle {handle}.")
        return stream

    def _drop_idle(self) -> None:
        now = time.monotonic()
        for handle, stream in list(self._streams.items()):
            if now - stream.used > self.idle_seconds:
                self._streams.pop(handle, None)
                stream.upload.unlink(missing_ok=True)


def check_block(data: bytes) -> None:
    """Refuse more than one request may carry."""
    if len(data) > MAX_BLOCK_BYTES:
        raise ApiError(
            400, "MAX_BLOCK_SIZE_EXCEEDED", f"The block of data exceeds the limit of {MAX_BLOCK_BYTES} bytes."
        )
