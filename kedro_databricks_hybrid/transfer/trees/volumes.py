"""A data root in a Unity Catalog volume, by the Files API."""

from __future__ import annotations

import io
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.transfer.checks import explained
from kedro_databricks_hybrid.transfer.files import BLOCK, Listing, RemoteFile, path_of
from kedro_databricks_hybrid.transfer.trees.protocol import base_path
from kedro_databricks_hybrid.transfer.trees.volume_parts import PartsRefusedError, PartsUpload
from kedro_databricks_hybrid.transfer.upload import Source
from kedro_databricks_hybrid.transfer.upload_journal import Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk.service.files import DirectoryEntry

    from kedro_databricks_hybrid.databricks.workspace import Workspace

_VOLUME_PARTS = 5  # "/", "Volumes", catalog, schema, volume
_IN_PARTS = 50 * 1024 * 1024
"""From this size on a file travels in parts, as the SDK has it too."""


class VolumeTree:
    """Files below a `/Volumes/<catalog>/<schema>/<volume>[/...]` root."""

    largest: int | None = 5 * 1024**3
    makes_parents = False

    def __init__(self, workspace: Workspace, root: str) -> None:
        from databricks.sdk.service.files import FilesAPI

        self.root = root
        self._client = workspace.client
        self._api = workspace.client.files
        # The plain API: what the client adds to a download asks for a signed address first.
        self._plain = FilesAPI(workspace.client.api_client)  # type: ignore[no-untyped-call]
        self._base = base_path(root)
        self._one_in_parts = threading.Lock()

    @property
    def driver_path(self) -> PurePosixPath:
        """The root itself: clusters see volumes under their own names."""
        return self._base

    def check(self) -> None:
        """Ask whether the volume exists."""
        volume = PurePosixPath(*self._base.parts[:_VOLUME_PARTS])
        try:
            with explained(f"use {volume}"):
                self._api.get_directory_metadata(str(volume))
        except NotFoundError as error:
            raise TransferError(
                f"The volume {volume} does not exist, or you may not see it.",
                hint=f"Create it (`kedro databricks init`, or CREATE VOLUME {'.'.join(volume.parts[2:])}), "
                "or set another data.root in databricks.yml.",
            ) from error

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content."""
        try:
            return b"".join(self._stream(path))
        except NotFoundError:
            return None

    def chunks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        """Yield a file's content as it arrives."""
        received = 0
        for chunk in self._stream(path, size):
            received += len(chunk)
            yield chunk
        if received != size:
            raise TransferError(
                f"{self._base / path} gave {received} bytes, but it is listed with {size}.",
                hint="It changes there at the moment: try again later.",
            )

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Write a small file by one request."""
        self.upload(path, io.BytesIO(content), len(content))

    def upload(
        self, path: PurePosixPath, content: BinaryIO, size: int, unfinished: Unfinished | None = None
    ) -> None:
        """Write a file by one request, a large one in parts that are joined at the end."""
        target = str(self._base / path)
        with explained(f"write {target}"):
            if size < _IN_PARTS or not isinstance(content, Source):
                if unfinished is not None:  # it was larger then
                    self.give_up(unfinished)
                self._plain.upload(target, content, overwrite=True)
                return
            with self._one_in_parts:  # its parts travel side by side
                self._upload_in_parts(target, content, unfinished or Unfinished())

    def give_up(self, unfinished: Unfinished) -> None:
        """Have the parts removed that an upload left which will not go on."""
        PartsUpload(self._client, "").give_up(unfinished)

    def sweep(self, now: int) -> None:
        """Nothing: parts that were not joined are no files, and the cloud removes them."""

    def delete(self, path: PurePosixPath) -> None:
        """Remove a file."""
        try:
            with explained(f"remove {self._base / path}"):
                self._api.delete(str(self._base / path))
        except NotFoundError:
            return

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder with its parents."""
        with explained(f"make the folder {self._base / path}"):
            self._api.create_directory(str(self._base / path))

    def list(self, folder: PurePosixPath) -> Listing | None:
        """List one folder, a page of 1,000 a request."""
        try:
            with explained(f"list {self._base / folder}"):
                entries = list(self._api.list_directory_contents(str(self._base / folder)))
        except NotFoundError:
            return None
        return Listing(
            tuple(self._file(entry) for entry in entries if not entry.is_directory),
            tuple(self._relative(entry) for entry in entries if entry.is_directory),
        )

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Look a file up in its folder's listing, which tells its time to the millisecond."""
        listing = self.list(path.parent)
        return next((file for file in listing.files if file.path == path), None) if listing else None

    def _stream(self, path: PurePosixPath, size: int = 0) -> Iterator[bytes]:
        api = self._plain if size < _IN_PARTS else self._api
        with explained(f"read {self._base / path}"):
            answer = api.download(str(self._base / path)).contents
            if answer is None:
                return
            with answer:
                while chunk := answer.read(BLOCK):
                    yield chunk

    def _upload_in_parts(self, target: str, source: Source, unfinished: Unfinished) -> None:
        parts = PartsUpload(self._client, target)
        try:
            parts.send(source, unfinished)
        except PartsRefusedError:
            parts.give_up(unfinished)
            source.seek(0)
            self._plain.upload(target, source, overwrite=True)  # type: ignore[arg-type]

    def _relative(self, entry: DirectoryEntry) -> PurePosixPath:
        # Unity Catalog answers with the volume's names in its own case.
        return path_of("/".join((entry.path or "").split("/")[len(self._base.parts) :]))

    def _file(self, entry: DirectoryEntry) -> RemoteFile:
        return RemoteFile(self._relative(entry), entry.file_size or 0, entry.last_modified or 0)
