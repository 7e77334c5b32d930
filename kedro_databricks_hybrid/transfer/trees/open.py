"""From a data root's address to the tree that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.transfer.concurrency import keep_pace
from kedro_databricks_hybrid.transfer.trees.dbfs import DbfsTree
from kedro_databricks_hybrid.transfer.trees.volumes import VolumeTree

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree


def open_tree(workspace: Workspace, root: str) -> RemoteTree:
    """Return the tree for a data root.

    Args:
        workspace: Where it lies.
        root: `dbfs:/...` or `/Volumes/<catalog>/<schema>/<volume>[/...]`, checked by the settings.
    """
    keep_pace(workspace.client)
    on_dbfs = root.startswith("dbfs:") and not root.startswith("dbfs:/Volumes/")
    return DbfsTree(workspace, root) if on_dbfs else VolumeTree(workspace, root)
