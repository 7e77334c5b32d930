"""A project's data in the words of a transfer: which of its paths are data, and what names their root."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from kedro_databricks_hybrid.workspace import Workspace


def place(workspace: Workspace, root: str) -> str:
    """Return what names a data root across workspaces; the sandbox may change its port."""
    return f"{'local' if workspace.is_local else workspace.host} {root}"


def in_data(data: Path, paths: Collection[Path]) -> list[Path]:
    """Return the paths in the data folder; datasets elsewhere are none of ours."""
    return [path for path in paths if path.is_relative_to(data) and ".." not in path.relative_to(data).parts]
