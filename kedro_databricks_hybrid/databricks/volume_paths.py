"""Which paths lie in a Unity Catalog volume, `/Volumes/<catalog>/<schema>/<volume>[/...]`. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

_PARTS = 5  # "/", "Volumes", catalog, schema, volume


def split(path: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Return a path's volume and its path in the volume; None outside volumes and above a volume."""
    if path.parts[:2] != ("/", "Volumes") or len(path.parts) < _PARTS:
        return None
    return PurePosixPath(*path.parts[:_PARTS]), PurePosixPath(*path.parts[_PARTS:])


def is_on_volume(root: str) -> bool:
    """Return whether a data root is in a volume rather than on DBFS."""
    return root.startswith(("/Volumes/", "dbfs:/Volumes/"))
