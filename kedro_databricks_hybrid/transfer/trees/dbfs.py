"""A data root on DBFS, by the DBFS API 2.0.

Large files are sent block by block to a draft, which is renamed when it is complete. DBFS appends to a
handle, which expires after ten idle minutes, and cannot tell how many bytes it has received. So each block
that has been sent is recorded locally. A block can still get lost if the push ends while it is being sent:
then the size of the draft differs, and the file is sent again from the start.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import secrets
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from kedro_databricks_hybrid.databricks.answers import UnexpectedAnswer, check_listing, decoded
from kedro_databricks_hybrid.databricks.transport import AppendLostError
from kedro_databricks_hybrid.errors import NotFoundError, TransferError, WorkspaceError
from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer.checks import explained
from kedro_databricks_hybrid.transfer.files import BLOCK, STATE_FOLDER, Listing, RemoteFile, Times, path_of
from kedro_databricks_hybrid.transfer.trees.protocol import base_path, complete
from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from databricks.sdk.service.files import FileInfo

    from kedro_databricks_hybrid.databricks.client import Client
    from kedro_databricks_hybrid.databricks.workspace import Workspace

_INCOMING = PurePosixPath(STATE_FOLDER, "incoming")
_DRAFT = re.compile(r".+\.[0-9a-f]{12}")
_ABANDONED = 24 * 3600 * 1000
"""Milliseconds after which no push can be writing to a draft any more."""
_APPEND_TRIES = 6


class DbfsTree:
    """Files below a `dbfs:/...` root."""

    largest: int | None = None
    makes_parents = True

    def __init__(self, workspace: Workspace, root: str) -> None:
        from databricks.sdk.service.files import DbfsAPI

        self.root = root
        self._client = workspace.client
        self.silence = workspace.client.silence
        self._times = Times()
        # Not the client's dbfs: the SDK's mixin requests a status before each listing and removal.
        self._api = DbfsAPI(workspace.client.api_client)  # type: ignore[no-untyped-call]
        self._base = base_path(root)

    @property
    def driver_path(self) -> PurePosixPath:
        """The root below /dbfs, the mount of DBFS on clusters."""
        return PurePosixPath("/dbfs", *self._base.parts[1:])

    def check(self) -> None:
        """Request the status of the root, which is refused if DBFS is disabled; it need not exist.

        Not of `/`: some workspaces return that although they refuse every path below it.
        """
        with contextlib.suppress(NotFoundError), explained(f"use {self.root}"):
            self._api.get_status(str(self._base))

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content, one request for each block."""
        try:
            first = self._block(path, 0, BLOCK)
            if len(first) < BLOCK:
                return first
            with explained(f"look at {self.root}/{path}"):
                size = self._api.get_status(self._full(path)).file_size or 0
            return b"".join(self.chunks(path, size))
        except NotFoundError:
            return None

    def chunks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        """Yield a file's content, one request for each block."""
        yield from complete(self._blocks(path, size), size, f"{self.root}/{path}")

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Write a small file by one request, a larger one block by block."""
        if len(content) > BLOCK:
            self.upload(path, io.BytesIO(content), len(content))
            return
        with explained(f"write {self.root}/{path}"):
            encoded = base64.b64encode(content).decode("ascii")
            self._api.put(self._full(path), contents=encoded, overwrite=True)

    def upload(
        self, path: PurePosixPath, content: BinaryIO, size: int, unfinished: UnfinishedUpload | None = None
    ) -> None:
        """Append block by block to a draft, then rename it."""
        unfinished = unfinished or UnfinishedUpload()
        with explained(f"write {self.root}/{path}"):
            draft = self._draft_upload(path).send(content, size, unfinished)
            self._move_into_place(draft, path, size)
        unfinished.forget()

    def abort(self, unfinished: UnfinishedUpload) -> None:
        """Remove the draft of an upload that will not be resumed."""
        with explained(f"clear {self.root}/{_INCOMING}"):
            self._draft_upload(_INCOMING).abort(unfinished)

    def sweep(self) -> None:
        """Remove drafts that are at least a day old; a push may still be writing to younger ones."""
        listing = self.list(_INCOMING)
        now = self._client.server_seconds * 1000
        old = [
            file.path
            for file in (listing.files if listing else ())
            if _DRAFT.fullmatch(file.path.name) and file.modified < now - _ABANDONED
        ]
        run_all(self.delete, old)

    def delete(self, path: PurePosixPath) -> None:
        """Remove a file."""
        with explained(f"remove {self.root}/{path}"):
            self._api.delete(self._full(path))

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder and its parents."""
        with explained(f"make the folder {self.root}/{path}"):
            self._api.mkdirs(self._full(path))

    def list(self, folder: PurePosixPath) -> Listing | None:
        """List one folder; None for a file, which DBFS lists as itself."""
        now = self._client.server_seconds
        try:
            with explained(f"list {self.root}/{folder}"):
                entries = list(self._api.list(self._full(folder)))
                if [entry.path for entry in entries] == [self._full(folder)]:
                    return None
                check_listing(self._base / folder, [entry.path or "" for entry in entries])
        except NotFoundError:
            return None
        return Listing(
            self._files([entry for entry in entries if not entry.is_dir], now),
            tuple(self._relative(entry) for entry in entries if entry.is_dir),
        )

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Request the status of one file."""
        now = self._client.server_seconds
        try:
            with explained(f"look at {self.root}/{path}"):
                entry = self._api.get_status(self._full(path))
        except NotFoundError:
            return None
        return None if entry.is_dir else self._files([entry], now)[0]

    def _blocks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        # The last block is never a whole one: an answer that ignores the offset is longer, and noticed.
        length = BLOCK if size % BLOCK else BLOCK - 1
        offset = 0
        while offset < size:
            block = self._block(path, offset, length)
            if not block:
                return
            offset += len(block)
            yield block

    def _block(self, path: PurePosixPath, offset: int, length: int) -> bytes:
        with explained(f"read {self.root}/{path}"):
            answer = self._api.read(self._full(path), length=length, offset=offset)
            block = decoded(answer.data)
            if len(block) != answer.bytes_read or len(block) > length:
                raise UnexpectedAnswer(f"has {len(block)} bytes instead of {answer.bytes_read}")
        return block

    def _draft_upload(self, path: PurePosixPath) -> DraftUpload:
        def new_draft() -> str:
            return self._full(_INCOMING / f"{path.name[:100]}.{secrets.token_hex(6)}")

        return DraftUpload(self._client, f"{self.root}/{path}", new_draft)

    def _move_into_place(self, draft: str, path: PurePosixPath, size: int) -> None:
        """Rename a complete draft; the API does not overwrite, so an existing file is deleted first."""
        self._api.delete(self._full(path))
        try:
            with explained(f"move {self.root}/{path} into place"):
                self._api.move(draft, self._full(path))
        except WorkspaceError:
            # If the answer got lost, the repeated request fails because the first one has moved the draft.
            found = self.find(path)
            if found is None or found.size != size:
                raise

    def _full(self, path: PurePosixPath) -> str:
        return str(self._base / path)

    def _relative(self, entry: FileInfo) -> PurePosixPath:
        return path_of((entry.path or "").removeprefix(f"{self._base}/"))

    def _files(self, entries: Sequence[FileInfo], now: int) -> tuple[RemoteFile, ...]:
        listed = [
            (self._relative(each), each.file_size or 0, each.modification_time or 0) for each in entries
        ]
        return self._times.files(listed, now)


class DraftUpload:
    """The upload of one file to a draft.

    Args:
        client: The SDK's client.
        shown: The file's name for messages.
        new_draft: Returns a new full path for a draft.
    """

    def __init__(self, client: Client, shown: str, new_draft: Callable[[], str]) -> None:
        from databricks.sdk.service.files import DbfsAPI

        self._client = client
        self._api = DbfsAPI(client.api_client)  # type: ignore[no-untyped-call]
        self._shown = shown
        self._new_draft = new_draft

    def send(self, content: BinaryIO, size: int, unfinished: UnfinishedUpload) -> str:
        """Send a file, resuming an interrupted upload if possible, and return the path of its complete draft.

        Raises:
            TransferError: The file does not arrive completely.
            DatabricksError: Databricks refused.
        """
        from databricks.sdk.errors.base import DatabricksError

        if unfinished.is_of_this_content:
            try:
                draft = self._resume(content, unfinished)
                if self._size(draft) == size:
                    return draft
            except (AppendLostError, DatabricksError):
                pass  # the handle has expired
        self.abort(unfinished)
        for attempt in range(1, _APPEND_TRIES + 1):
            draft = self._new_draft()
            try:
                handle = self._api.create(draft, overwrite=True).handle or 0
                unfinished.begin(draft=draft, handle=handle)
                self._append(handle, content, unfinished, 0)
                arrived = self._size(draft)
                if arrived == size:
                    return draft
                problem = f"arrived with {arrived} bytes of {size}"
            except AppendLostError as error:
                problem = f"could not be sent: {error.message}"
            if attempt < _APPEND_TRIES:
                self._api.delete(draft)
        self.abort(unfinished)
        raise TransferError(f"{self._shown} {problem}.", hint="Push again.")

    def abort(self, unfinished: UnfinishedUpload) -> None:
        """Remove the draft of an earlier upload, if there is one."""
        if unfinished.records:
            self._api.delete(unfinished.records[0]["draft"])
            unfinished.forget()

    def _resume(self, content: BinaryIO, unfinished: UnfinishedUpload) -> str:
        first = unfinished.records[0]
        self._append(first["handle"], content, unfinished, len(unfinished.records) - 1)
        return str(first["draft"])

    def _append(self, handle: int, content: BinaryIO, unfinished: UnfinishedUpload, there: int) -> None:
        """Append the blocks that have not been sent, and close the handle."""
        from databricks.sdk.errors.base import DatabricksError

        content.seek(0)
        number = 0
        while block := _block(content):
            number += 1
            if number > there:
                self._add(handle, block, lambda number=number: unfinished.note(block=number))  # type: ignore[misc]
        try:
            self._api.close(handle)
        except DatabricksError:
            return  # a repeated request fails on a closed handle; the size is checked later

    def _add(self, handle: int, block: bytes, sent: Callable[[], None]) -> None:
        encoded = base64.b64encode(block).decode("ascii")
        headers = {"Content-Type": "application/json", **self._client.workspace_headers}
        body: Any = _Body(json.dumps({"handle": handle, "data": encoded}).encode(), sent)
        self._client.api_client.do("POST", "/api/2.0/dbfs/add-block", headers=headers, data=body)

    def _size(self, draft: str) -> int:
        from databricks.sdk.errors import NotFound

        try:
            return self._api.get_status(draft).file_size or 0
        except NotFound:
            return -1


class _Body(io.BytesIO):
    """The body of a request; calls `sent` when all of it has been passed to the network."""

    def __init__(self, content: bytes, sent: Callable[[], None]) -> None:
        super().__init__(content)
        self._sent: Callable[[], None] | None = sent

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self._sent is not None:
            self._sent()
            self._sent = None
        return data


def _block(content: BinaryIO) -> bytes:
    """Read one block, even if a single read returns less."""
    pieces = []
    left = BLOCK
    while left and (piece := content.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
