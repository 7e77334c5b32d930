"""From a path in a request to a place on disk that is surely below its root."""

from __future__ import annotations

import os
from pathlib import Path

from kedro_databricks_hybrid.sandbox.answers import denied, invalid

_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3072


def segments(path: str) -> tuple[str, ...]:
    """Split an absolute path into its names; repeated and trailing slashes do not count.

    Raises:
        ApiError: 400 for a relative path, `.` or `..`, and names that no file can have.
    """
    if not path.startswith("/"):
        raise invalid(f"Path ({_shown(path)}) must be absolute")
    names = tuple(name for name in path.split("/") if name)
    for name in names:
        _check_name(name, path)
    if len(path.encode(errors="replace")) > _MAX_PATH_BYTES:
        raise invalid(f"Path ({_shown(path)}) is too long")
    return names


def resolve(root: Path, names: tuple[str, ...], *, follow: bool = True) -> Path:
    """Return the place of `names` below `root`, with links on the way followed.

    Args:
        root: The folder that must not be left.
        names: What `segments` returned.
        follow: Whether a link in the last place is followed too; to delete it, it must not be.

    Raises:
        ApiError: 403 where a link leads out of the root.
    """
    real_root = Path(os.path.realpath(root))
    if not names:
        return real_root
    followed = names if follow else names[:-1]
    place = Path(os.path.realpath(real_root.joinpath(*followed))).joinpath(*names[len(followed) :])
    if not place.is_relative_to(real_root):
        raise denied(f"Path ({_shown('/' + '/'.join(names))}) leads out of the workspace")
    return place


def _check_name(name: str, path: str) -> None:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        msg = f"Path ({_shown(path)}) is not valid Unicode"
        raise invalid(msg) from error
    windows = os.name == "nt" and any(character in name for character in '\\:*?"<>|')
    if name in {".", ".."} or "\0" in name or windows:
        raise invalid(f"Path ({_shown(path)}) contains an invalid name")
    if len(encoded) > _MAX_NAME_BYTES:
        raise invalid(f"Path ({_shown(path)}) contains a name that is too long")


def _shown(path: str) -> str:
    """Return the path as an error message can carry it."""
    return path[:200].encode(errors="replace").decode()
