"""A data root in a Unity Catalog volume, by the Files API."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, BinaryIO

from kedro_databricks_hybrid.databricks.answers import UnexpectedAnswer, check_listing
from kedro_databricks_hybrid.databricks.grants import in_sql
from kedro_databricks_hybrid.databricks.volume_paths import split
from kedro_databricks_hybrid.errors import NotFoundError, TransferError
from kedro_databricks_hybrid.transfer.checks import explained
from kedro_databricks_hybrid.transfer.files import BLOCK, Listing, RemoteFile, Times, path_of
from kedro_databricks_hybrid.transfer.trees.protocol import base_path, complete
from kedro_databricks_hybrid.transfer.trees.volume_parts import PartsRefusedError, PartsUpload
from kedro_databricks_hybrid.transfer.upload import Source
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import PurePosixPath

    from databricks.sdk.service.files import DirectoryEntry, FilesAPI

    from kedro_databricks_hybrid.databricks.workspace import Workspace

_IN_PARTS = 50 * 1024 * 1024
"""Files of at least this size are sent in parts, as by the SDK."""


class VolumeTree:
    """Files below a `/Volumes/<catalog>/<schema>/<volume>[/...]` root."""

    largest: int | None = 5 * 1024**3
    makes_parents = False

    def __init__(self, workspace: Workspace, root: str) -> None:
        from databricks.sdk.service.files import FilesAPI

        self.root = root
        self._client = workspace.client
        self.silence = workspace.client.silence
        self._times = Times()
        self._api = workspace.client.files
        # Not the client's files: the SDK's mixin requests a signed URL before a download.
        self._plain = FilesAPI(workspace.client.api_client)  # type: ignore[no-untyped-call]
        self._base = base_path(root)
        self._one_in_parts = threading.Lock()

    @property
    def driver_path(self) -> PurePosixPath:
        """The root itself: volumes have the same paths on clusters."""
        return self._base

    def check(self) -> None:
        """Check that the volume exists."""
        volume, _ = split(self._base) or (self._base, None)
        try:
            with explained(f"use {volume}"):
                self._api.get_directory_metadata(str(volume))
        except NotFoundError as error:
            name = in_sql(".".join(volume.parts[2:]))
            raise TransferError(
                f"The volume {volume} does not exist, or you have no access to it.",
                hint=f"Create it (`kedro databricks init`, or CREATE VOLUME {name}), "
                "or set another data.root in databricks.yml.",
            ) from error

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content."""
        try:
            return b"".join(self._stream(path))
        except NotFoundError:
            return None

    def chunks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        """Yield a file's content, by one request."""
        yield from complete(self._stream(path, size), size, str(self._base / path))

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Write a small file by one request."""
        self.upload(path, io.BytesIO(content), len(content))

    def upload(
        self, path: PurePosixPath, content: BinaryIO, size: int, unfinished: UnfinishedUpload | None = None
    ) -> None:
        """Write a file by one request, a large one in parts."""
        target = str(self._base / path)
        with explained(f"write {target}"):
            if size < _IN_PARTS or not isinstance(content, Source):
                if unfinished is not None:  # it was larger when its parts were sent
                    self.abort(unfinished)
                self._plain.upload(target, content, overwrite=True)
                return
            with self._one_in_parts:  # its parts are sent at the same time
                self._upload_in_parts(target, content, unfinished or UnfinishedUpload())

    def abort(self, unfinished: UnfinishedUpload) -> None:
        """Abort an upload in parts that will not be resumed."""
        PartsUpload(self._client, "").abort(unfinished)

    def sweep(self) -> None:
        """Do nothing: the cloud removes parts of uploads that were not completed."""

    def delete(self, path: PurePosixPath) -> None:
        """Remove a file."""
        try:
            with explained(f"remove {self._base / path}"):
                self._api.delete(str(self._base / path))
        except NotFoundError:
            return

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder and its parents."""
        with explained(f"make the folder {self._base / path}"):
            self._api.create_directory(str(self._base / path))

    def list(self, folder: PurePosixPath) -> Listing | None:
        """List one folder, up to 1,000 entries a request."""
        now = self._client.server_seconds
        try:
            with explained(f"list {self._base / folder}"):
                entries = list(self._api.list_directory_contents(str(self._base / folder)))
                for entry in entries:
                    entry.path = self._own_spelling(entry.path or "")
                check_listing(self._base / folder, [entry.path or "" for entry in entries])
        except NotFoundError:
            return None
        return Listing(
            self._files([entry for entry in entries if not entry.is_directory], now),
            tuple(self._relative(entry) for entry in entries if entry.is_directory),
        )

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Find a file in its folder's listing, which has its modification time in milliseconds."""
        listing = self.list(path.parent)
        return next((file for file in listing.files if file.path == path), None) if listing else None

    def _stream(self, path: PurePosixPath, size: int = 0) -> Iterator[bytes]:
        api = self._plain if size < _IN_PARTS else self._api
        with explained(f"read {self._base / path}"):
            answer = self._client.silence.watch(lambda: _open(api, str(self._base / path)))
            with answer:
                while chunk := self._client.silence.watch(lambda: answer.read(BLOCK)):
                    yield chunk

    def _upload_in_parts(self, target: str, source: Source, unfinished: UnfinishedUpload) -> None:
        parts = PartsUpload(self._client, target)
        try:
            parts.send(source, unfinished)
        except PartsRefusedError:
            parts.abort(unfinished)
            source.seek(0)
            self._plain.upload(target, source, overwrite=True)  # type: ignore[arg-type]

    def _own_spelling(self, path: str) -> str:
        """Return a path with the volume as the root has it: Unity Catalog returns its name in lower case."""
        volume, _ = split(self._base) or (self._base, None)
        start = len(str(volume))
        return f"{volume}{path[start:]}" if path[:start].casefold() == str(volume).casefold() else path

    def _relative(self, entry: DirectoryEntry) -> PurePosixPath:
        return path_of((entry.path or "").removeprefix(f"{self._base}/"))

    def _files(self, entries: Sequence[DirectoryEntry], now: int) -> tuple[RemoteFile, ...]:
        listed = [(self._relative(each), each.file_size or 0, each.last_modified or 0) for each in entries]
        return self._times.files(listed, now)


def _open(api: FilesAPI, path: str) -> BinaryIO:
    """Begin to download a file.

    Raises:
        UnexpectedAnswer: The cloud storage does not say how long the file is, which the SDK needs.
    """
    try:
        content = api.download(path).contents
    except (TypeError, ValueError):
        raise UnexpectedAnswer("does not tell the length of the file") from None
    if content is None:
        raise UnexpectedAnswer("has no content")
    return content
