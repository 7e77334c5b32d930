"""A data root on DBFS, by the DBFS API 2.0."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.transfer.remote import RemoteFile, base_path
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.workspace import Workspace

_BLOCK = 1024 * 1024
"""What one request of the DBFS API carries at most, in bytes."""


class DbfsTree:
    """Files below a `dbfs:/...` root."""

    def __init__(self, workspace: Workspace, root: str) -> None:
        self.root = root
        self._api = workspace.client.dbfs
        self._base = base_path(root)

    @property
    def driver_path(self) -> PurePosixPath:
        """The root below /dbfs, where clusters mount DBFS."""
        return PurePosixPath("/dbfs", *self._base.parts[1:])

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content in one request."""
        try:
            with translated(f"read {self.root}/{path}"):
                answer = self._api.read(str(self._base / path), length=_BLOCK, offset=0)
        except NotFoundError:
            return None
        return base64.b64decode(answer.data or "")

    def write(self, path: PurePosixPath, content: BinaryIO, size: int) -> None:
        """Write a small file by one request, a large one by blocks."""
        target = str(self._base / path)
        with translated(f"write {self.root}/{path}"):
            if size <= _BLOCK:
                encoded = base64.b64encode(content.read(_BLOCK)).decode("ascii")
                self._api.put(target, contents=encoded, overwrite=True)
            else:
                self._write_blocks(target, content)
            written = self._api.get_status(target).file_size
        if written != size:
            raise TransferError(
                f"{self.root}/{path} has {written} bytes after {size} were sent.",
                hint="Did the local file change meanwhile? Push again.",
            )

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder with its parents."""
        with translated(f"make the folder {self.root}/{path}"):
            self._api.mkdirs(str(self._base / path))

    def files(self, folder: PurePosixPath) -> Iterator[RemoteFile]:
        """List one folder."""
        try:
            with translated(f"list {self.root}/{folder}"):
                entries = list(self._api.list(str(self._base / folder)))
        except NotFoundError:
            return
        for entry in entries:
            if not entry.is_dir:
                path = PurePosixPath(entry.path or "").relative_to(self._base)
                yield RemoteFile(path, entry.file_size or 0)

    def _write_blocks(self, target: str, content: BinaryIO) -> None:
        handle = self._api.create(target, overwrite=True).handle or 0
        while block := content.read(_BLOCK):
            self._api.add_block(handle, base64.b64encode(block).decode("ascii"))
        self._api.close(handle)
