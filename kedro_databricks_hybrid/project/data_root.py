"""Choosing where a project's data lie on Databricks: DBFS where its root is enabled, otherwise a volume."""

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
    """Tell whether the DBFS root may be used, which new workspaces forbid."""
    try:
        with translated("look at the DBFS root"):
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
        SettingsError: It is no full name.
    """
    if not _VOLUME.fullmatch(volume):
        raise SettingsError(
            f"{volume!r} does not name a volume.", hint="Give --volume=<catalog>.<schema>.<volume>."
        )
    return f"/Volumes/{volume.replace('.', '/')}/{{project}}/data"


def volume_exists(workspace: Workspace, volume: str) -> bool:
    """Tell whether a volume is there."""
    try:
        with translated(f"look for the volume {volume}"):
            workspace.client.volumes.read(volume)
    except NotFoundError:
        return False
    return True


def create_volume(workspace: Workspace, volume: str) -> None:
    """Create a managed volume; its catalog and schema must be there."""
    from databricks.sdk.service.catalog import VolumeType

    catalog, schema, name = volume.split(".")
    with translated(f"create the volume {volume}"):
        workspace.client.volumes.create(catalog, schema, name, VolumeType.MANAGED)
    if not volume_exists(workspace, volume):
        raise WorkspaceError(f"Databricks accepted the volume {volume}, but does not show it.")
