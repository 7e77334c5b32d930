"""Choose a project's data root on Databricks: DBFS if its root is enabled, otherwise a volume."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, SettingsError, WorkspaceError
from kedro_databricks_hybrid.project.settings import Data

if TYPE_CHECKING:
    from kedro_databricks_hybrid.databricks.workspace import Workspace

_VOLUME = re.compile(r"[^\s./]+\.[^\s./]+\.[^\s./]+")
_REFUSED = re.compile(r"disabled|denied|not (allowed|supported|enabled)", re.IGNORECASE)


def dbfs_is_enabled(workspace: Workspace) -> bool:
    """Tell whether the DBFS root is enabled; new workspaces disable it."""
    try:
        with translated("get the status of the DBFS root"):
            workspace.client.dbfs.get_status("/")
    except WorkspaceError as error:
        if _REFUSED.search(error.message):
            return False
        raise
    return True


def on_dbfs() -> str:
    """Return the data root on DBFS."""
    return Data().root


def in_volume(volume: str) -> str:
    """Return the data root in a volume.

    Args:
        volume: Its full name, `<catalog>.<schema>.<volume>`.

    Raises:
        SettingsError: It is not a full name.
    """
    if not _VOLUME.fullmatch(volume):
        raise SettingsError(
            f"{volume!r} does not name a volume.", hint="Use --volume=<catalog>.<schema>.<volume>."
        )
    return f"/Volumes/{volume.replace('.', '/')}/{{project}}/data"


def volume_exists(workspace: Workspace, volume: str) -> bool:
    """Tell whether a volume exists."""
    try:
        with translated(f"look for the volume {volume}"):
            workspace.client.volumes.read(volume)
    except NotFoundError:
        return False
    return True


def create_volume(workspace: Workspace, volume: str) -> None:
    """Create a managed volume; its catalog and schema must exist."""
    from databricks.sdk.service.catalog import VolumeType

    catalog, schema, name = volume.split(".")
    with translated(f"create the volume {volume}"):
        workspace.client.volumes.create(catalog, schema, name, VolumeType.MANAGED)
    if not volume_exists(workspace, volume):
        raise WorkspaceError(f"Databricks accepted the volume {volume}, but does not show it.")
