"""The checksum files that Spark keeps beside its data on a local disk: `.name.crc` for `name`.

Databricks has none, so no listing shows them; and one that no longer fits its data would make
Spark refuse to read, so it goes when the data changes from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_side_file(name: str) -> bool:
    """Whether a file is one that only a local disk has."""
    return name.startswith(".") and name.endswith(".crc") and len(name) > len("..crc")


def visible(folder: Path) -> list[Path]:
    """Return what a folder holds, by name, without the side files."""
    return sorted(path for path in folder.iterdir() if not is_side_file(path.name))


def forget(place: Path) -> None:
    """Remove the side file of a file that was replaced, moved or removed."""
    place.with_name(f".{place.name}.crc").unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder in which nothing visible is left."""
    for path in folder.iterdir():
        if is_side_file(path.name):
            path.unlink(missing_ok=True)
    folder.rmdir()
