"""The checksum files that Spark writes beside its data on a local disk: `.name.crc` for `name`.

Databricks has none, so listings leave them out. Spark refuses to read a file that does not match its
checksum, so the checksum file is deleted when anything but Spark changes the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_checksum_file(name: str) -> bool:
    """Whether this is the name of a checksum file."""
    return name.startswith(".") and name.endswith(".crc") and len(name) > len("..crc")


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted by name, without checksum files."""
    return sorted(path for path in folder.iterdir() if not is_checksum_file(path.name))


def forget(path: Path) -> None:
    """Delete the checksum file of a file that is replaced, moved or deleted."""
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Delete a folder that holds nothing but checksum files."""
    for path in folder.iterdir():
        if is_checksum_file(path.name):
            path.unlink(missing_ok=True)
    folder.rmdir()
