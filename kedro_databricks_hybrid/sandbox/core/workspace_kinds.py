"""The kinds of Databricks workspace that the sandbox can imitate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """The features and limits of a kind of workspace.

    Attributes:
        name: Its value of `--like`.
        objects: The full names of the first objects in Unity Catalog; the first catalog is the default.
        access_mode: The access mode of the first clusters; None if the workspace cannot have clusters.
        max_tasks: How many tasks run at once; 0 for any number.
        dbfs_root: Whether dbfs:/ may be used.
        metastore: Whether a Unity Catalog metastore is assigned to it.
        default_storage: Whether catalogs get storage by default, which only the web page can create.
        partial_git_info: Whether Git folders outside /Repos are shown as folders with only an id and a path.
    """

    name: str
    objects: tuple[tuple[str, ...], ...]
    access_mode: str | None
    max_tasks: int = 0
    dbfs_root: bool = False
    metastore: bool = True
    default_storage: bool = False
    partial_git_info: bool = True

    @property
    def default_catalog(self) -> str:
        """The catalog for names without one."""
        return self.objects[0][0]


# With a volume, so that /Volumes/main/default/data can be used at once.
_MAIN = (("main",), ("main", "default"), ("main", "default", "data"))
_FREE = (("workspace",), ("workspace", "default"))

KINDS = {
    kind.name: kind
    for kind in (
        Kind("guide", _MAIN, "SINGLE_USER", dbfs_root=True, metastore=False, partial_git_info=False),
        Kind("standard", _MAIN, "USER_ISOLATION"),
        Kind("free-edition", _FREE, access_mode=None, max_tasks=5, default_storage=True),
    )
}
DEFAULT_KIND = "guide"

UPLOADS = ("multipart", "resumable")
"""How large files get to volumes: in parts as on AWS and Azure, or in chunks as on Google's cloud."""
