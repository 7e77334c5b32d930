"""Where a sandbox keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The folders and files below one sandbox home; all of them are the owner's alone."""

    home: Path

    @property
    def roots(self) -> Path:
        """The folder that holds what a cluster sees at the top of its file system."""
        return self.home / "roots"

    @property
    def workspace(self) -> Path:
        """The folder that stands for /Workspace."""
        return self.roots / "Workspace"

    @property
    def dbfs(self) -> Path:
        """The folder that stands for dbfs:/ and /dbfs."""
        return self.roots / "dbfs"

    @property
    def volumes(self) -> Path:
        """The folder that stands for /Volumes."""
        return self.roots / "Volumes"

    @property
    def git(self) -> Path:
        """The histories of Git folders; as on Databricks, a Git folder shows no .git."""
        return self.home / "git"

    @property
    def kernels(self) -> Path:
        """Connection files and logs of execution contexts."""
        return self.home / "kernels"

    @property
    def libraries(self) -> Path:
        """The packages that were installed on clusters."""
        return self.home / "libraries"

    @property
    def state(self) -> Path:
        """The JSON documents that survive a restart."""
        return self.home / "state"

    @property
    def scratch(self) -> Path:
        """Uploads and clones on their way; on the same disk as the roots, emptied at every start."""
        return self.home / "scratch"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    def make(self) -> None:
        """Create every folder that is missing, readable by its owner only."""
        for folder in (
            self.home,
            self.roots,
            self.workspace,
            self.dbfs,
            self.volumes,
            self.git,
            self.kernels,
            self.libraries,
            self.state,
            self.scratch,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
