"""Large uploads to volumes, in parts or in chunks, and downloads by signed address.

Databricks hands out addresses in cloud storage that are valid for a while without a token; here they are
below /storage/ on this server, and the random key in each authenticates the request. An upload does not end
with the client that began it: without that, nobody could try whether an interrupted push is resumed.

Each part has an address, and parts arrive in any order. Chunks, as on Google's cloud, arrive one after
another at one address. Each names its range (`Content-Range: bytes 0-9/*`); the answer 308 tells how many
bytes are kept, and the chunk that names the full length completes the file.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.errors import ApiError, invalid, missing
from kedro_databricks_hybrid.sandbox.core.guesses import UPLOAD_SECONDS
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.volumes.model import VolumeFiles

STORAGE_PATH = "/storage/"
MAX_PARTS = 10_000
_CONFLICT = 409
_PRECONDITION = "At least one of the pre-conditions you specified did not hold."
_COPY_BYTES = 4 * 1024 * 1024
_CHUNK_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,15})-(?P<last>\d{1,15})|\*)/(?P<whole>\d{1,15}|\*)")


@dataclass
class Upload:
    """One unfinished upload; `etags` holds those of the received parts."""

    token: str
    key: str
    owner: str
    path: str
    overwrite: bool
    folder: Path
    used: float
    etags: dict[int, str] = field(default_factory=dict)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def part(self, number: int) -> Path:
        """Return the path on disk of a part."""
        return self.folder / f"part-{number}"


class Uploads:
    """Unfinished uploads and signed downloads, until they expire."""

    def __init__(self, files: VolumeFiles, scratch: Path) -> None:
        self._files = files
        self._scratch = scratch
        self._uploads: dict[str, Upload] = {}
        self._downloads: dict[str, tuple[str, float]] = {}

    def begin(self, owner: str, path: str, *, overwrite: bool) -> Upload:
        """Begin an upload, or refuse its path."""
        self._drop_expired()
        self._files.check_writable(path, overwrite=overwrite)  # before the client sends anything
        token, key = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        folder = self._scratch / f"parts-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        upload = Upload(token, key, owner, path, overwrite, folder, time.monotonic())
        self._uploads[token] = upload
        return upload

    def get(self, owner: str, path: str, token: str) -> Upload:
        """Return a user's upload to a path by its session token."""
        self._drop_expired()
        upload = self._uploads.get(token)
        if upload is None or upload.owner != owner or upload.path != path:
            raise missing("The upload session does not exist or has expired.")
        upload.used = time.monotonic()
        return upload

    def by_key(self, key: str) -> Upload:
        """Return the upload of a signed address."""
        for upload in self._uploads.values():
            if secrets.compare_digest(upload.key.encode(), key.encode(errors="replace")):
                return upload
        raise ApiError(403, "PERMISSION_DENIED", "The signed address is not valid or has expired.")

    def add_chunk(self, upload: Upload, chunk: Chunk, received: Path) -> bool:
        """Keep a chunk of a resumable upload; return True if it was the last and the file is complete."""
        upload.used = time.monotonic()
        with upload.writing:
            if not append_chunk(upload, chunk, received):
                return False
        try:
            self._files.put_in_place(chunked_content(upload), upload.path, overwrite=upload.overwrite)
        except ApiError as error:
            self.drop(upload)
            if error.status == _CONFLICT:  # with the message of Google's storage
                raise ApiError(412, "PRECONDITION_FAILED", _PRECONDITION) from error
            raise
        self.drop(upload)
        return True

    def keep_part(self, upload: Upload, number: int, received: Path) -> str:
        """Keep a received part, and return its ETag."""
        check_part_number(number)
        with received.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(_COPY_BYTES):
                digest.update(chunk)
        received.replace(upload.part(number))
        upload.etags[number] = f'"{digest.hexdigest()}"'
        upload.used = time.monotonic()
        return upload.etags[number]

    def complete(self, upload: Upload, parts: list[Any]) -> None:
        """Join the parts in the order of their numbers, and create the file."""
        numbers = [_checked(upload, part) for part in parts]
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise invalid("The parts must be numbered from 1 without a gap.")
        whole = upload.folder / "whole"
        with whole.open("xb") as target:
            for number in numbers:
                with upload.part(number).open("rb") as source:
                    shutil.copyfileobj(source, target, _COPY_BYTES)
                upload.part(number).unlink()
        self._files.put_in_place(whole, upload.path, overwrite=upload.overwrite)
        self.drop(upload)

    def drop(self, upload: Upload) -> None:
        """Abort an upload, or clean up after it."""
        self._uploads.pop(upload.token, None)
        remove_tree(upload.folder)

    def allow_download(self, path: str) -> str:
        """Return a key by which one file can be read without a token."""
        self._files.file(path)
        self._drop_expired()
        key = secrets.token_urlsafe(24)
        self._downloads[key] = (path, time.monotonic())
        return key

    def downloaded(self, key: str) -> Path:
        """Return the path on disk of the file that a key belongs to."""
        self._drop_expired()
        if key not in self._downloads:
            raise ApiError(403, "PERMISSION_DENIED", "The signed address is not valid or has expired.")
        return self._files.file(self._downloads[key][0])

    def _drop_expired(self) -> None:
        oldest = time.monotonic() - UPLOAD_SECONDS
        for upload in [upload for upload in self._uploads.values() if upload.used < oldest]:
            self.drop(upload)
        for key in [key for key, (_, made) in self._downloads.items() if made < oldest]:
            self._downloads.pop(key, None)


def check_part_number(number: int) -> None:
    """Refuse an invalid part number."""
    if not 1 <= number <= MAX_PARTS:
        raise invalid(f"Part numbers are from 1 to {MAX_PARTS}.")


def _checked(upload: Upload, part: object) -> int:
    number, etag = (part.get("part_number"), part.get("etag")) if isinstance(part, dict) else (None, None)
    if not isinstance(number, int) or number not in upload.etags or upload.etags[number] != etag:
        raise invalid("A part was not uploaded, or its etag differs.")
    return number


@dataclass(frozen=True)
class Chunk:
    """The range of a chunk in its file; `first` is None if the client only asks how much is kept."""

    first: int | None
    last: int
    whole: int | None


def chunk_of(header: str) -> Chunk:
    """Read a `Content-Range` header."""
    match = _CHUNK_RANGE.fullmatch(header.strip())
    if match is None:
        raise invalid("Content-Range must have the form 'bytes 0-9/*'.")
    whole = None if match["whole"] == "*" else int(match["whole"])
    if match["first"] is None:
        return Chunk(None, -1, whole)
    chunk = Chunk(int(match["first"]), int(match["last"]), whole)
    if chunk.last < int(match["first"]) - 1 or (whole is not None and chunk.last >= whole):
        raise invalid("Content-Range contradicts itself.")
    return chunk


def arrived_bytes(upload: Upload) -> int:
    """Return how many bytes of a resumable upload are kept."""
    content = chunked_content(upload)
    return content.stat().st_size if content.exists() else 0


def chunked_content(upload: Upload) -> Path:
    """Return the path on disk of the bytes of a resumable upload."""
    return upload.folder / "content"


def append_chunk(upload: Upload, chunk: Chunk, received: Path) -> bool:
    """Append a received chunk, and return whether the file is complete.

    Bytes that are kept already are skipped: a client that missed an answer sends them again.
    """
    length = received.stat().st_size
    if chunk.first is None:
        return chunk.whole is not None and chunk.whole == arrived_bytes(upload)
    if length != chunk.last - chunk.first + 1:
        raise invalid("The chunk is not as long as its Content-Range.")
    kept = arrived_bytes(upload)
    if chunk.first > kept:
        raise invalid(f"The chunk leaves a gap after {kept} bytes.")
    with chunked_content(upload).open("ab") as target, received.open("rb") as source:
        source.seek(min(kept - chunk.first, length))
        while piece := source.read(_COPY_BYTES):
            target.write(piece)
    return chunk.whole is not None and arrived_bytes(upload) == chunk.whole
