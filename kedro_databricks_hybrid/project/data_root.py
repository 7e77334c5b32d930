"""Where a project's data can lie on Databricks: a volume where there is Unity Catalog, otherwise DBFS."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import NotFoundError, SettingsError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kedro_databricks_hybrid.databricks.workspace import Workspace

ON_DBFS = "dbfs:/root/projects/{project}/data"
"""The data root of Kedro's guide, for workspaces without Unity Catalog."""

_VOLUME = re.compile(r"[^\s./]+\.[^\s./]+\.[^\s./]+")
_VOLUME_PARTS = 5  # "/", "Volumes", catalog, schema, volume
_REFUSED = re.compile(r"disabled|denied|not (allowed|supported|enabled)", re.IGNORECASE)
_UNITY_CATALOG = "/api/2.1/unity-catalog"
_DEFAULT_NAMESPACE = "/api/2.0/settings/types/default_namespace_ws/names/default"
_NOT_FOR_DATA = {None, "", "hive_metastore", "samples", "system"}
_SCHEMA = "default"

# What to do about a refusal, by its words.
_HINTS = {
    r"\bcatalog '[^']*' does not exist|CATALOG_DOES_NOT_EXIST": (
        "Check its name, ask for GRANT USE CATALOG ON CATALOG {catalog} TO {user}"
    ),
    r"\bschema '[^']*' does not exist|SCHEMA_DOES_NOT_EXIST": "Create it (CREATE SCHEMA {schema})",
    r"PERMISSION_DENIED|does not have": (
        "Ask for GRANT USE CATALOG ON CATALOG {catalog}, and for GRANT USE SCHEMA, CREATE VOLUME ON SCHEMA "
        "{schema}, TO {user}"
    ),
    r"already exists|ALREADY_EXISTS": "Rename or drop what has that name, such as a table",
    r"quota|limit|RESOURCE_EXHAUSTED": "Drop a volume that nobody needs",
}


def default_catalog(workspace: Workspace) -> str | None:
    """Return the catalog that a workspace takes for names without one, None where it has no Unity Catalog.

    Raises:
        WorkspaceError: There is Unity Catalog, and no catalog in it that the user can see.
    """
    try:
        assigned = _asked(workspace, f"{_UNITY_CATALOG}/current-metastore-assignment")
    except NotFoundError:
        return None
    if (name := assigned.get("default_catalog_name")) not in _NOT_FOR_DATA:
        return str(name)
    try:
        name = _asked(workspace, _DEFAULT_NAMESPACE).get("namespace", {}).get("value")
    except WorkspaceError:
        name = None
    if name in _NOT_FOR_DATA:
        catalogs = _asked(workspace, f"{_UNITY_CATALOG}/catalogs").get("catalogs", [])
        name = next((each["name"] for each in catalogs if _holds_data(each)), None)
    if name is None:
        raise WorkspaceError(
            "The workspace has Unity Catalog, but you can see no catalog for the data.",
            hint="Ask for USE CATALOG on one, then name a volume: --volume=<catalog>.<schema>.<volume>.",
        )
    return str(name)


def proposed(catalog: str, project: str) -> str:
    """Return the data root to propose: a volume of the project's own in the default schema of a catalog."""
    return f"/Volumes/{catalog}/{_SCHEMA}/{project}"


def dbfs_is_enabled(workspace: Workspace, path: str) -> bool:
    """Tell whether a folder on DBFS may be used, which new workspaces forbid.

    Args:
        workspace: Where.
        path: The folder's own path, such as `/root/projects`; `/` is shown even where all below it
            is refused. A folder that is missing can be made.
    """
    try:
        with translated(f"look at dbfs:{path}"):
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
        SettingsError: It is no full name.
    """
    if not _VOLUME.fullmatch(volume):
        raise SettingsError(
            f"{volume!r} does not name a volume.", hint="Give --volume=<catalog>.<schema>.<volume>."
        )
    return f"/Volumes/{volume.replace('.', '/')}/{{project}}/data"


def volume_of(root: str) -> str | None:
    """Return the full name of the volume that a data root lies in, None for one on DBFS.

    Args:
        root: The data root, its placeholders filled in.
    """
    parts = PurePosixPath(root.removeprefix("dbfs:")).parts
    is_volume = parts[1:2] == ("Volumes",) and len(parts) >= _VOLUME_PARTS
    return ".".join(parts[2:_VOLUME_PARTS]) if is_volume else None


def volume_exists(workspace: Workspace, volume: str) -> bool:
    """Tell whether a volume is there.

    Raises:
        WorkspaceError: Its catalog or schema is not there, or is hidden from the user.
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
    """Create a managed volume and read it back.

    Raises:
        WorkspaceError: Databricks refused; the hint names the grant or the option that helps.
    """
    from databricks.sdk.service.catalog import VolumeType

    catalog, schema, name = volume.split(".")
    with _explained(workspace, volume), translated(f"create the volume {volume}"):
        workspace.client.volumes.create(catalog, schema, name, VolumeType.MANAGED)
    if not volume_exists(workspace, volume):
        raise WorkspaceError(f"Databricks accepted the volume {volume}, but does not show it.")


@contextmanager
def _explained(workspace: Workspace, volume: str) -> Iterator[None]:
    """Add the next step to a refusal."""
    catalog, schema, _ = volume.split(".")
    names = {"catalog": catalog, "schema": f"{catalog}.{schema}", "user": f"`{workspace.user}`"}
    try:
        yield
    except WorkspaceError as error:
        found = (hint for words, hint in _HINTS.items() if re.search(words, error.message, re.IGNORECASE))
        hint = next(found, None)
        if hint is None or error.hint:
            raise
        elsewhere = "or name another volume with --volume=<catalog>.<schema>.<volume>."
        raise type(error)(error.message, hint=f"{hint.format(**names)}, {elsewhere}") from error


def _asked(workspace: Workspace, path: str) -> dict[str, Any]:
    with translated("ask what Unity Catalog has"):
        answer = workspace.client.api_client.do("GET", path)
    return answer if isinstance(answer, dict) else {}


def _holds_data(catalog: dict[str, Any]) -> bool:
    """Tell whether a catalog is for its users' data, rather than Databricks' own or somebody's share."""
    is_own = catalog.get("catalog_type", "MANAGED_CATALOG") == "MANAGED_CATALOG"
    return is_own and catalog.get("name") not in _NOT_FOR_DATA
