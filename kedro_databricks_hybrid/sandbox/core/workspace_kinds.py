"""The kinds of workspace that the sandbox can be like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a workspace has, or has not.

    Attributes:
        name: What `--like` calls it.
        objects: What Unity Catalog holds from the start, each a full name; the first catalog is the default.
        access_mode: That of the first clusters; None where there are no clusters and none can be created.
        max_tasks: How many tasks run at once; 0 for any number.
        dbfs_root: Whether dbfs:/ may be used.
        metastore: Whether a Unity Catalog metastore is assigned to it.
        partial_git_info: Whether Git folders outside of /Repos show as folders with only an id and a path.
    """

    name: str
    objects: tuple[tuple[str, ...], ...]
    access_mode: str | None
    max_tasks: int = 0
    dbfs_root: bool = False
    metastore: bool = True
    partial_git_info: bool = True

    @property
    def default_catalog(self) -> str:
        """The catalog of names that give none."""
        return self.objects[0][0]


# main.default.data can be used on the first two at once.
_MAIN = (("main",), ("main", "default"), ("main", "default", "data"))
_FREE = (("workspace",), ("workspace", "default"))

KINDS = {
    kind.name: kind
    for kind in (
        Kind("guide", _MAIN, "SINGLE_USER", dbfs_root=True, metastore=False, partial_git_info=False),
        Kind("standard", _MAIN, "USER_ISOLATION"),
        Kind("free-edition", _FREE, access_mode=None, max_tasks=5),
    )
}
DEFAULT_KIND = "guide"
