"""Receive a file: stream it into the scratch folder, from where it is moved in one step."""

from __future__ import annotations

import secrets
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.errors import ApiError

_CHUNK_BYTES = 1024 * 1024


def new_upload(scratch: Path) -> Path:
    """Return a new path for a file that is being received."""
    return scratch / f"upload-{secrets.token_hex(8)}"


def save(source: BinaryIO, upload: Path) -> None:
    """Copy an open file to the path of an upload."""
    with upload.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)


@asynccontextmanager
async def received(request: Request, scratch: Path, limit: int, too_large: ApiError) -> AsyncIterator[Path]:
    """Write the body of a request to a file, which is removed at the end unless it was moved.

    Raises:
        ApiError: `too_large`, for more than `limit` bytes.
    """
    path = new_upload(scratch)
    try:
        with path.open("xb") as file:
            buffer = bytearray()
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                buffer += chunk
                if len(buffer) >= _CHUNK_BYTES:
                    await run_in_threadpool(file.write, bytes(buffer))
                    buffer.clear()
            await run_in_threadpool(file.write, bytes(buffer))
        yield path
    finally:
        path.unlink(missing_ok=True)
