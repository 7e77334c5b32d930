"""The interface of data roots, which transfers, run logs and the dbfs:/// file system use."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from kedro_databricks_hybrid.databricks.link_loops import LinkLoops
from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.git.unsafe_names import shown
from kedro_databricks_hybrid.parallel import run_all
from kedro_databricks_hybrid.transfer.files import Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from kedro_databricks_hybrid.databricks.silence import Silence
    from kedro_databricks_hybrid.transfer.upload_journal import UnfinishedUpload

__all__ = ["Listing", "RemoteFile", "RemoteTree", "base_path", "complete", "walk"]


_MOST_FOLDERS = 100_000


class RemoteTree(Protocol):
    """The files below one data root. Paths are relative to it."""

    @property
    def root(self) -> str:
        """The data root as databricks.yml has it."""

    @property
    def driver_path(self) -> PurePosixPath:
        """The data root's folder for Python code on a cluster."""

    @property
    def largest(self) -> int | None:
        """The most bytes that a file may have, None without a limit."""

    @property
    def makes_parents(self) -> bool:
        """Whether writing a file also makes the folders above it."""

    @property
    def silence(self) -> Silence:
        """Reports it when the root's workspace does not answer."""

    def check(self) -> None:
        """Check that the root can be used.

        Raises:
            TransferError: Its volume does not exist.
            WorkspaceError: Databricks refused access.
        """

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content, None if it does not exist; one request for up to 1 MB."""

    def chunks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        """Yield a file's content in pieces.

        Args:
            path: The file.
            size: Its bytes in the listing.

        Raises:
            TransferError: The content has another size.
        """

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Write a small file (up to 1 MB) by one request, replacing an existing one."""

    def upload(
        self, path: PurePosixPath, content: BinaryIO, size: int, unfinished: UnfinishedUpload | None = None
    ) -> None:
        """Write a file of any size with constant memory, replacing an existing one.

        Args:
            path: The file.
            content: Its new content.
            size: Its bytes.
            unfinished: The journal of an interrupted upload of the file, which is resumed if possible.
        """

    def abort(self, unfinished: UnfinishedUpload) -> None:
        """Remove the draft or the parts of an interrupted upload that will not be resumed."""

    def sweep(self) -> None:
        """Remove drafts that interrupted pushes of any clone left at least a day ago."""

    def delete(self, path: PurePosixPath) -> None:
        """Remove a file, if it exists."""

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder and its parents; an existing folder is not changed."""

    def list(self, folder: PurePosixPath) -> Listing | None:
        """Return the files and folders directly in a folder, None if it does not exist."""

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Return a file as in a listing, None if it does not exist."""


def base_path(root: str) -> PurePosixPath:
    """Return a data root without its scheme."""
    return PurePosixPath(root.removeprefix("dbfs:"))


def complete(chunks: Iterator[bytes], size: int, path: str) -> Iterator[bytes]:
    """Yield a remote file's content, and check its size at the end.

    Args:
        chunks: The content.
        size: Its bytes in the listing.
        path: The file, for the message.

    Raises:
        TransferError: The content has another size.
    """
    received = 0
    for chunk in chunks:
        received += len(chunk)
        yield chunk
    if received != size:
        raise TransferError(
            f"{shown(path)} has {received} bytes, but is listed with {size}.",
            hint="Something is writing to it: try again later.",
        )


def walk(tree: RemoteTree, start: PurePosixPath, *, skip: Collection[PurePosixPath] = ()) -> list[RemoteFile]:
    """Return all files below a folder, or the file itself; an empty list if neither exists.

    Args:
        tree: The data root.
        start: The folder or file.
        skip: Folders to skip.

    Raises:
        TransferError: A link leads to a folder above it, or there are more folders than any data root has.
    """
    listing = tree.list(start)
    if listing is None:
        file = tree.find(start)
        return [file] if file else []
    loops = LinkLoops(tree.root, TransferError)
    found: list[RemoteFile] = []
    level: list[tuple[PurePosixPath, Listing | None]] = [(start, listing)]
    listed = 0
    while level:
        folders: list[PurePosixPath] = []
        for folder, each in level:
            if each is None:
                continue
            if each.folders:
                names = [file.path.name for file in each.files] + [path.name for path in each.folders]
                loops.enter(folder, names)
            found += each.files
            folders += [path for path in each.folders if path not in skip]
        listed += len(folders)
        if listed > _MOST_FOLDERS:
            raise TransferError(
                f"{tree.root}/{start} has more than {_MOST_FOLDERS:,} folders.",
                hint="Name the files to transfer.",
            )
        level = list(zip(folders, run_all(tree.list, folders), strict=True)) if folders else []
    return sorted(found, key=lambda file: file.path)
