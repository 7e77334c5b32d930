"""Receiving a file: streamed to a scratch file, then put in place in one step."""

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
    """Return a name for a file on its way."""
    return scratch / f"upload-{secrets.token_hex(8)}"


def save(source: BinaryIO, upload: Path) -> None:
    """Copy an open file."""
    with upload.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)


@asynccontextmanager
async def received(request: Request, scratch: Path, limit: int, too_large: ApiError) -> AsyncIterator[Path]:
    """Give the body of a request as a file, which is removed unless it was moved to its place."""
    path = new_upload(scratch)
    try:
        with path.open("xb") as file:
            waiting = bytearray()
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                waiting += chunk
                if len(waiting) >= _CHUNK_BYTES:
                    await run_in_threadpool(file.write, bytes(waiting))
                    waiting.clear()
            await run_in_threadpool(file.write, bytes(waiting))
        yield path
    finally:
        path.unlink(missing_ok=True)


def put_in_place(content: bytes, scratch: Path, place: Path) -> None:
    """Write a file so that a reader finds the old content or the new one, never a part."""
    path = new_upload(scratch)
    try:
        path.write_bytes(content)
        path.replace(place)
    finally:
        path.unlink(missing_ok=True)
