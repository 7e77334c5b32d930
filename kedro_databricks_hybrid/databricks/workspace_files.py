"""Write files whose names tell their content to the user's folder in the workspace: once, and read back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.workspace import Workspace


def put_once(workspace: Workspace, path: PurePosixPath, content: Callable[[], bytes]) -> None:
    """Write a file unless it exists.

    Args:
        workspace: The workspace.
        path: The file's path, which is another one for another content.
        content: Returns the content.

    Raises:
        WorkspaceError: Databricks refused it, or it does not exist afterwards.
    """
    if _exists(workspace, path):
        return
    from databricks.sdk.service.workspace import ImportFormat

    with translated(f"write {path}"):
        workspace.client.workspace.mkdirs(str(path.parent))
        file = io.BytesIO(content())
        workspace.client.workspace.upload(str(path), file, format=ImportFormat.AUTO, overwrite=True)
    if not _exists(workspace, path):
        raise WorkspaceError(f"{path} was sent, but Databricks does not show it.", hint="Run it again.")


def _exists(workspace: Workspace, path: PurePosixPath) -> bool:
    try:
        with translated(f"look for {path}"):
            workspace.client.workspace.get_status(str(path))
    except NotFoundError:
        return False
    return True
