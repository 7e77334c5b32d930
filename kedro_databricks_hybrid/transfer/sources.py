"""Sending one local file: what really was read from it is what counts as sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from kedro_databricks_hybrid.errors import MachineError, TransferError
from kedro_databricks_hybrid.transfer.files import SMALL, Content, stamp_of
from kedro_databricks_hybrid.transfer.outgoing import ChangedError, Source
from kedro_databricks_hybrid.transfer.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path, PurePosixPath

    from kedro_databricks_hybrid.transfer.files import Stamp
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_TRIES = 3


class VanishedError(TransferError):
    """A local file is gone or cannot be read any more; the others are sent all the same."""


@dataclass(frozen=True)
class Books:
    """Where it is written down what goes on with one file.

    Args:
        advance: Called with the number of bytes that went off.
        whole: Called with the content before its last byte goes off.
        unfinished: Opens what is known of an interrupted upload of a large file, given the file's stamp.
    """

    advance: Callable[[int], None] = lambda _: None
    whole: Callable[[Content], None] = lambda _: None
    unfinished: Callable[[Stamp], Unfinished] = field(default=lambda _: Unfinished())


def send(tree: RemoteTree, file: Path, path: PurePosixPath, books: Books) -> tuple[Content, Stamp]:
    """Send a file and return the content that was sent, with the stamp that the file had then.

    Raises:
        VanishedError: It cannot be read.
        TransferError: It does not stop changing.
    """
    try:
        for _ in range(_TRIES):
            is_small = file.stat().st_size <= SMALL
            sent = (_send_small if is_small else _send_large)(tree, file, path, books)
            if sent is not None:
                return sent
    except OSError as error:
        if str(error.filename) != str(file) or MachineError.of(error):
            raise
        raise VanishedError(
            f"{file} cannot be read any more: {error.strerror}.", hint="Push again."
        ) from error
    raise TransferError(f"{file} changes while it is pushed.", hint="Push again when it is complete.")


def _send_small(tree: RemoteTree, file: Path, path: PurePosixPath, books: Books) -> tuple[Content, Stamp]:
    stamp = stamp_of(file.stat())
    data = file.read_bytes()
    content = Content(hashlib.sha256(data).hexdigest(), len(data))
    books.whole(content)
    tree.write(path, data)
    books.advance(len(data))
    return content, stamp


def _send_large(
    tree: RemoteTree, file: Path, path: PurePosixPath, books: Books
) -> tuple[Content, Stamp] | None:
    """Send a file, None if it was written to meanwhile."""
    with Source(file, books.advance, books.whole) as source:
        unfinished = books.unfinished(source.stamp)
        try:
            tree.upload(path, cast("BinaryIO", source), source.len, unfinished)
            source.require_unchanged()
        except ChangedError:
            books.advance(-source.count)
            return None
        finally:
            unfinished.close()
        return (source.content, source.stamp) if source.content else None
