"""Large files to DBFS block by block, under a name of their own until they are whole.

DBFS appends to a handle, which lives for ten idle minutes, and cannot tell how much it has. So it is noted
here which blocks have left this machine. What was on its way when a push ended may have been lost all the
same: the size of the whole file tells, and then it is sent anew.
"""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.transfer.files import BLOCK
from kedro_databricks_hybrid.transfer.pace import AppendLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kedro_databricks_hybrid.sdk import Client
    from kedro_databricks_hybrid.transfer.unfinished import Unfinished

_TRIES = 6


class DraftUpload:
    """Writes one file under the name of a draft.

    Args:
        client: The SDK's client.
        shown: The file's name for messages.
        new_draft: Makes up the full path of a draft.
    """

    def __init__(self, client: Client, shown: str, new_draft: Callable[[], str]) -> None:
        from databricks.sdk.service.files import DbfsAPI

        self._client = client
        self._api = DbfsAPI(client.api_client)  # type: ignore[no-untyped-call]
        self._shown = shown
        self._new_draft = new_draft

    def send(self, content: BinaryIO, size: int, unfinished: Unfinished) -> str:
        """Send a file, going on where an interrupted push ended, and return the draft, which is whole.

        Raises:
            TransferError: It does not arrive as it was sent.
            DatabricksError: Databricks refused.
        """
        from databricks.sdk.errors.base import DatabricksError

        if unfinished.is_of_this_content:
            try:
                draft = self._go_on(content, unfinished)
                if self._size(draft) == size:
                    return draft
            except (AppendLostError, DatabricksError):
                pass  # the handle is too old to go on with
        self.give_up(unfinished)
        for attempt in range(1, _TRIES + 1):
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
            if attempt < _TRIES:
                self._api.delete(draft)
        self.give_up(unfinished)
        raise TransferError(f"{self._shown} {problem}.", hint="Push again.")

    def give_up(self, unfinished: Unfinished) -> None:
        """Remove the draft that an earlier upload left, if there is one."""
        if unfinished.facts:
            self._api.delete(unfinished.facts[0]["draft"])
            unfinished.forget()

    def _go_on(self, content: BinaryIO, unfinished: Unfinished) -> str:
        first = unfinished.facts[0]
        self._append(first["handle"], content, unfinished, len(unfinished.facts) - 1)
        return str(first["draft"])

    def _append(self, handle: int, content: BinaryIO, unfinished: Unfinished, there: int) -> None:
        """Append the blocks from a number on, and close the handle."""
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
            return  # a repeated request finds it closed already; the size will tell

    def _add(self, handle: int, block: bytes, left: Callable[[], None]) -> None:
        encoded = base64.b64encode(block).decode("ascii")
        headers = {"Content-Type": "application/json"}
        workspace = getattr(self._client.config, "workspace_id", None)
        if workspace:
            headers["X-Databricks-Workspace-Id"] = str(workspace)
        body: Any = _Body(json.dumps({"handle": handle, "data": encoded}).encode(), left)
        self._client.api_client.do("POST", "/api/2.0/dbfs/add-block", headers=headers, data=body)

    def _size(self, draft: str) -> int:
        from databricks.sdk.errors import NotFound

        try:
            return self._api.get_status(draft).file_size or 0
        except NotFound:
            return -1


class _Body(io.BytesIO):
    """The body of a request that tells when all of it has been handed over to the network."""

    def __init__(self, content: bytes, left: Callable[[], None]) -> None:
        super().__init__(content)
        self._left: Callable[[], None] | None = left

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self._left is not None:
            self._left()
            self._left = None
        return data


def _block(content: BinaryIO) -> bytes:
    """Read a whole block, however small the pieces are that a read gives."""
    pieces = []
    left = BLOCK
    while left and (piece := content.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
