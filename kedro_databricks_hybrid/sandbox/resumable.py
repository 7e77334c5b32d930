"""Large uploads to volumes in chunks, one after another, as on Google's cloud.

One address takes all chunks. Each says where it lies (`Content-Range: bytes 0-9/*`); the answer 308 says how
much has arrived, and the chunk that names the whole length completes the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.answers import invalid

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.multipart import Upload

_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,15})-(?P<last>\d{1,15})|\*)/(?P<whole>\d{1,15}|\*)")
_COPY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """Where a chunk lies in its file; `first` is None where the client only asks how much has arrived."""

    first: int | None
    last: int
    whole: int | None


def chunk_of(header: str) -> Chunk:
    """Read a `Content-Range` header."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid("Content-Range must be such as 'bytes 0-9/*'.")
    whole = None if match["whole"] == "*" else int(match["whole"])
    if match["first"] is None:
        return Chunk(None, -1, whole)
    chunk = Chunk(int(match["first"]), int(match["last"]), whole)
    if chunk.last < int(match["first"]) - 1 or (whole is not None and chunk.last >= whole):
        raise invalid("Content-Range does not fit itself.")
    return chunk


def arrived(upload: Upload) -> int:
    """Return how many bytes of an upload are kept."""
    place = content(upload)
    return place.stat().st_size if place.exists() else 0


def content(upload: Upload) -> Path:
    """Return where the bytes of an upload are kept."""
    return upload.folder / "content"


def append(upload: Upload, chunk: Chunk, received: Path) -> bool:
    """Keep a chunk that has arrived, and return whether the file is complete.

    Bytes that are there already are not kept twice: a client that has missed an answer sends them again.
    """
    length = received.stat().st_size
    if chunk.first is None:
        return chunk.whole is not None and chunk.whole == arrived(upload)
    if length != chunk.last - chunk.first + 1:
        raise invalid("The chunk is not as long as its Content-Range.")
    there = arrived(upload)
    if chunk.first > there:
        raise invalid(f"The chunk leaves a gap after {there} bytes.")
    with content(upload).open("ab") as target, received.open("rb") as source:
        source.seek(min(there - chunk.first, length))
        while piece := source.read(_COPY_BYTES):
            target.write(piece)
    return chunk.whole is not None and arrived(upload) == chunk.whole
