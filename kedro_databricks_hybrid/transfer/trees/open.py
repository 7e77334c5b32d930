"""Open a data root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.volume_paths import is_on_volume
from kedro_databricks_hybrid.transfer.trees.dbfs import DbfsTree
from kedro_databricks_hybrid.transfer.trees.volumes import VolumeTree

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


def open_tree(workspace: Workspace, root: str) -> RemoteTree:
    """Return the tree of a data root.

    Args:
        workspace: Its workspace.
        root: `dbfs:/...` or `/Volumes/<catalog>/<schema>/<volume>[/...]`, checked by the settings.
    """
    return VolumeTree(workspace, root) if is_on_volume(root) else DbfsTree(workspace, root)
