"""Choose a project's data root on Databricks: a volume if there is Unity Catalog, otherwise DBFS."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks import grants, volume_paths
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, SettingsError, WorkspaceError
from kedro_databricks_hybrid.transfer.trees.protocol import base_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.databricks.workspace import Workspace

ON_DBFS = "dbfs:/root/projects/{project}/data"
"""The data root in Kedro's guide, for workspaces without Unity Catalog."""

_VOLUME = re.compile(r"[^\s./]+\.[^\s./]+\.[^\s./]+")
_REFUSED = re.compile(r"disabled|denied|not (allowed|supported|enabled)", re.IGNORECASE)
_UNITY_CATALOG = "/api/2.1/unity-catalog"
_DEFAULT_NAMESPACE = "/api/2.0/settings/types/default_namespace_ws/names/default"
_NOT_FOR_DATA = {None, "", "hive_metastore", "samples", "system"}
_SCHEMA = "default"

# The next step after a refusal, by a pattern for its message.
_HINTS = {
    r"\bcatalog '[^']*' does not exist|CATALOG_DOES_NOT_EXIST": (
        "Check its name, ask for GRANT USE CATALOG ON CATALOG {catalog} TO {user}"
    ),
    r"\bschema '[^']*' does not exist|SCHEMA_DOES_NOT_EXIST": "Create it (CREATE SCHEMA {schema})",
    r"PERMISSION_DENIED": (
        "Ask for GRANT USE CATALOG ON CATALOG {catalog}, and for GRANT USE SCHEMA, CREATE VOLUME ON SCHEMA "
        "{schema}, TO {user}"
    ),
    r"already exists|ALREADY_EXISTS": "Rename or drop what has that name, such as a table",
    r"quota|limit|RESOURCE_EXHAUSTED": "Drop a volume that is no longer needed",
}


def default_catalog(workspace: Workspace) -> str | None:
    """Return the workspace's default catalog for data; None if it has no Unity Catalog.

    Raises:
        WorkspaceError: It has Unity Catalog, but the user can see no catalog for data.
    """
    try:
        assigned = _get(workspace, f"{_UNITY_CATALOG}/current-metastore-assignment")
    except NotFoundError:
        return None
    if (name := assigned.get("default_catalog_name")) not in _NOT_FOR_DATA:
        return str(name)
    try:
        name = _get(workspace, _DEFAULT_NAMESPACE).get("namespace", {}).get("value")
    except WorkspaceError:
        name = None
    if name in _NOT_FOR_DATA:
        catalogs = _get(workspace, f"{_UNITY_CATALOG}/catalogs").get("catalogs", [])
        name = next((each["name"] for each in catalogs if _is_for_data(each)), None)
    if name is None:
        raise WorkspaceError(
            "The workspace has Unity Catalog, but you can see no catalog for the data.",
            hint="Ask for USE CATALOG on one, then name a volume: --volume=<catalog>.<schema>.<volume>.",
        )
    return str(name)


def proposed(catalog: str, project: str) -> str:
    """Return the data root to propose: a volume for the project in the catalog's default schema."""
    return f"/Volumes/{catalog}/{_SCHEMA}/{project}"


def dbfs_is_enabled(workspace: Workspace, path: str) -> bool:
    """Tell whether a folder on DBFS can be used; new workspaces disable the DBFS root.

    Args:
        workspace: The workspace.
        path: The folder's path on DBFS, such as `/root/projects`; it need not exist. Not `/`, which some
            workspaces return although they refuse every path below it.
    """
    try:
        with translated(f"get the status of dbfs:{path}"):
            workspace.client.dbfs.get_status(path)
    except NotFoundError:
        return True
    except WorkspaceError as error:
        if _REFUSED.search(error.message):
            return False
        raise
    return True


def in_volume(volume: str) -> str:
    """Return the data root in a volume.

    Args:
        volume: Its full name, `<catalog>.<schema>.<volume>`.

    Raises:
        SettingsError: It is not a full name.
    """
    if not _VOLUME.fullmatch(volume):
        raise SettingsError(
            f"{volume!r} does not name a volume.",
            hint="Write <catalog>.<schema>.<volume>, or a path: /Volumes/<catalog>/<schema>/<volume> or "
            "dbfs:/<folder>.",
        )
    return f"/Volumes/{volume.replace('.', '/')}/{{project}}/data"


def volume_of(root: str) -> str | None:
    """Return the full name of a data root's volume; None if it is on DBFS.

    Args:
        root: The data root with its placeholders filled in.
    """
    found = volume_paths.split(base_path(root))
    return ".".join(found[0].parts[2:]) if found else None


def volume_exists(workspace: Workspace, volume: str) -> bool:
    """Tell whether a volume exists.

    Raises:
        WorkspaceError: Its catalog or schema does not exist, or the user cannot see it.
    """
    try:
        with _explained(workspace, volume), translated(f"look for the volume {volume}"):
            workspace.client.volumes.read(volume)
    except NotFoundError as error:
        if error.hint:
            raise
        return False
    return True


def create_volume(workspace: Workspace, volume: str) -> None:
    """Create a managed volume, and verify that it exists.

    Raises:
        WorkspaceError: Databricks refused; the hint names the missing grant or the option to use.
    """
    from databricks.sdk.service.catalog import VolumeType

    catalog, schema, name = volume.split(".")
    with _explained(workspace, volume), translated(f"create the volume {volume}"):
        workspace.client.volumes.create(catalog, schema, name, VolumeType.MANAGED)
    if not volume_exists(workspace, volume):
        raise WorkspaceError(f"Databricks accepted the volume {volume}, but does not show it.")


@contextmanager
def _explained(workspace: Workspace, volume: str) -> Iterator[None]:
    """Add the next step to the error of a refused request."""
    catalog, schema, _ = volume.split(".")
    names = {
        "catalog": grants.in_sql(catalog),
        "schema": grants.in_sql(f"{catalog}.{schema}"),
        "user": f"`{workspace.user}`",
    }
    try:
        yield
    except WorkspaceError as error:
        if grant := grants.missing(error.message):
            hint: str | None = f"Ask for {grant} TO {names['user']}"
        else:
            hints = (hint for words, hint in _HINTS.items() if re.search(words, error.message, re.IGNORECASE))
            hint = next((hint.format(**names) for hint in hints), None)
        if hint is None or error.hint:
            raise
        elsewhere = "or name another volume with --volume=<catalog>.<schema>.<volume>."
        raise type(error)(error.message, hint=f"{hint}, {elsewhere}") from error


def _get(workspace: Workspace, path: str) -> dict[str, Any]:
    with translated("get the default catalog"):
        answer: Any = workspace.client.api_client.do("GET", path)
    return dict(answer)


def _is_for_data(catalog: dict[str, Any]) -> bool:
    """Tell whether a catalog is for the users' data, not one of Databricks or a share."""
    is_managed = catalog.get("catalog_type", "MANAGED_CATALOG") == "MANAGED_CATALOG"
    return is_managed and catalog.get("name") not in _NOT_FOR_DATA
