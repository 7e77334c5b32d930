"""A data root on Databricks, whatever it is kept in: the one interface that transfers and run logs use."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from kedro_databricks_hybrid.transfer.concurrency import run_all
from kedro_databricks_hybrid.transfer.files import Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.transfer.upload_journal import Unfinished

__all__ = ["Listing", "RemoteFile", "RemoteTree", "base_path", "walk"]


class RemoteTree(Protocol):
    """The files below one data root. Paths are relative to it."""

    @property
    def root(self) -> str:
        """The data root as databricks.yml writes it."""

    @property
    def driver_path(self) -> PurePosixPath:
        """Where Python code on a cluster finds the data root as a folder."""

    @property
    def largest(self) -> int | None:
        """Bytes of the largest file that fits, None where there is no such limit."""

    @property
    def makes_parents(self) -> bool:
        """Whether writing a file makes the folders above it."""

    def check(self) -> None:
        """Refuse a root that cannot be used at all, such as one in a volume that does not exist."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a file's content, None where there is none; one request up to 1 MB."""

    def chunks(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        """Yield a file's content piece by piece.

        Args:
            path: The file.
            size: What the listing says; an answer of another size is an error.
        """

    def write(self, path: PurePosixPath, content: bytes) -> None:
        """Write a small file (up to 1 MB) by one request, replacing one that is there."""

    def upload(
        self, path: PurePosixPath, content: BinaryIO, size: int, unfinished: Unfinished | None = None
    ) -> None:
        """Write a file of any size, replacing one that is there, with constant memory.

        Args:
            path: The file.
            content: What it shall hold.
            size: Its bytes.
            unfinished: What an interrupted upload of the same content got done; the rest is sent.
        """

    def give_up(self, unfinished: Unfinished) -> None:
        """Remove what an interrupted upload left which will not go on."""

    def sweep(self, now: int) -> None:
        """Remove what anybody's interrupted uploads left that cannot be under way any more.

        Args:
            now: A modification time (ms) that the server gave just now.
        """

    def delete(self, path: PurePosixPath) -> None:
        """Remove a file; one that is not there is removed already."""

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder with its parents; one that is there is left as it is."""

    def list(self, folder: PurePosixPath) -> Listing | None:
        """Return what lies directly in a folder, None where there is no such folder."""

    def find(self, path: PurePosixPath) -> RemoteFile | None:
        """Return a file as a listing would show it, None where there is none."""


def base_path(root: str) -> PurePosixPath:
    """Return a data root without its scheme."""
    return PurePosixPath(root.removeprefix("dbfs:"))


def walk(tree: RemoteTree, start: PurePosixPath, *, skip: PurePosixPath | None = None) -> list[RemoteFile]:
    """Return the files below a folder, or the file itself; nothing where there is neither.

    Args:
        tree: The data root.
        start: Where to begin.
        skip: A folder to leave out.
    """
    listing = tree.list(start)
    if listing is None:
        file = tree.find(start)
        return [file] if file else []
    found = list(listing.files)
    folders = [folder for folder in listing.folders if folder != skip]
    while folders:
        listings = [each for each in run_all(tree.list, folders) if each is not None]
        found += [file for each in listings for file in each.files]
        folders = [folder for each in listings for folder in each.folders]
    return sorted(found, key=lambda file: file.path)
