"""A data root in a Unity Catalog volume, by the Files API."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.transfer.remote import RemoteFile, base_path
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.workspace import Workspace


class VolumeTree:
    """Files below a `/Volumes/<catalog>/<schema>/<volume>[/...]` root."""

    def __init__(self, workspace: Workspace, root: str) -> None:
        self.root = root
        self._api = workspace.client.files
        self._base = base_path(root)

    @property
    def driver_path(self) -> PurePosixPath:
        """The root itself: clusters see volumes under their own names."""
        return self._base

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content."""
        try:
            with translated(f"read {self._base / path}"):
                answer = self._api.download(str(self._base / path)).contents
                if answer is None:
                    return b""
                with answer:
                    return answer.read()
        except NotFoundError:
            return None

    def write(self, path: PurePosixPath, content: BinaryIO, size: int) -> None:
        """Write a file; the SDK sends large ones in parts."""
        target = self._base / path
        self.make_folder(path.parent)
        with translated(f"write {target}"):
            self._api.upload(str(target), content, overwrite=True)
            written = self._api.get_metadata(str(target)).content_length
        if written != size:
            raise TransferError(
                f"{target} has {written} bytes after {size} were sent.",
                hint="Did the local file change meanwhile? Push again.",
            )

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder with its parents."""
        with translated(f"make the folder {self._base / path}"):
            self._api.create_directory(str(self._base / path))

    def files(self, folder: PurePosixPath) -> Iterator[RemoteFile]:
        """List one folder."""
        try:
            with translated(f"list {self._base / folder}"):
                entries = list(self._api.list_directory_contents(str(self._base / folder)))
        except NotFoundError:
            return
        for entry in entries:
            if not entry.is_directory:
                path = PurePosixPath(entry.path or "").relative_to(self._base)
                yield RemoteFile(path, entry.file_size or 0)
