"""A data root on Databricks, whatever it is kept in: the one interface that transfers and run logs use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.workspace import Workspace


@dataclass(frozen=True)
class RemoteFile:
    """A file below a data root: its path relative to the root and its size in bytes."""

    path: PurePosixPath
    size: int


class RemoteTree(Protocol):
    """The files below one data root. Paths are relative to it; folders are made as they are needed."""

    @property
    def root(self) -> str:
        """The data root as databricks.yml writes it."""

    @property
    def driver_path(self) -> PurePosixPath:
        """Where Python code on a cluster finds the data root as a folder."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """Return a small file's content (up to 1 MB), None where there is none."""

    def write(self, path: PurePosixPath, content: BinaryIO, size: int) -> None:
        """Write a file, replacing one that is there, and read back that its size is right."""

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder with its parents; one that is there is left as it is."""

    def files(self, folder: PurePosixPath) -> Iterator[RemoteFile]:
        """Yield the files that lie directly in a folder; nothing where there is no folder."""


def tree(workspace: Workspace, root: str) -> RemoteTree:
    """Return the tree for a data root.

    Args:
        workspace: Where it lies.
        root: `dbfs:/...` or `/Volumes/<catalog>/<schema>/<volume>[/...]`, checked by the settings.
    """
    from kedro_databricks_hybrid.transfer.dbfs import DbfsTree
    from kedro_databricks_hybrid.transfer.volumes import VolumeTree

    kind = DbfsTree if root.startswith("dbfs:") and not root.startswith("dbfs:/Volumes/") else VolumeTree
    return kind(workspace, root)


def base_path(root: str) -> PurePosixPath:
    """Return a data root without its scheme."""
    return PurePosixPath(root.removeprefix("dbfs:"))
