"""Which paths of a catalog lie in the local data folder, and where they lie on Databricks. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.project.datasets import PATH_KEYS
from kedro_databricks_hybrid.spark import session as spark_session

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str | int, ...]
"""Where a value stands: the dataset's name, then the keys and list positions that lead to it."""

# What names a table of Unity Catalog or a database, from the outside in.
_TABLE_KEYS = ("catalog", "database", "table", "table_name")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class Roots:
    """The data folder in both worlds.

    Args:
        local: Folder inside the project.
        remote: `dbfs:/...` or `/Volumes/...`.
        place: Where the datasets will be used: on the cluster, here by Databricks Connect, or not at all.
    """

    local: str
    remote: str
    place: spark_session.SparkLocation


def mapped(catalog: Mapping[str, Any], roots: Roots, *, kept: frozenset[Place]) -> dict[str, Any]:
    """Return the catalog with every path in the local data folder put under the remote root.

    Spark datasets get the root as it is; everything else opens files, which on DBFS means /dbfs/. Behind
    Databricks Connect there is neither /dbfs nor /Volumes, and files are opened by the API, as `dbfs:///...`.

    Args:
        catalog: Kedro's catalog configuration, resolved.
        roots: The two data folders.
        kept: What stays as it is, with all below it.
    """

    def walk(value: Any, place: Place, kind: str, *, is_kept: bool = False) -> Any:  # noqa: ANN401
        is_kept = is_kept or place in kept
        if isinstance(value, dict):
            inner = _kind(value, kind)
            return {key: walk(each, (*place, key), inner, is_kept=is_kept) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*place, index), kind, is_kept=is_kept) for index, each in enumerate(value)]
        if isinstance(value, str) and place[-1] in PATH_KEYS and len(place) > 1:
            path = value if is_kept else _remote(value, place, kind, roots)
            return _opened(path, roots.place) if kind == "files" or "schema" in place else path
        return value

    return {name: walk(entry, (name,), "files") for name, entry in catalog.items()}


def places(entry: object) -> list[str]:
    """Return the paths that a catalog entry holds at any depth, and the tables that it names."""
    if isinstance(entry, list):
        return [place for each in entry for place in places(each)]
    if not isinstance(entry, dict):
        return []
    table = ".".join(str(entry[key]) for key in _TABLE_KEYS if entry.get(key))
    found = [table] if table and entry.get("table", entry.get("table_name")) else []
    for key, value in entry.items():
        if key == "credentials":
            continue
        found += [value] if key in PATH_KEYS and isinstance(value, str) else places(value)
    return found


def given(catalog: Mapping[str, Any], *, whole: bool) -> frozenset[Place]:
    """Return the places that a catalog gives a value for.

    Args:
        catalog: What an env's own files say.
        whole: Whether each dataset counts as a whole, as where an env replaces what the base says,
            or each single value, as where the two are merged softly.
    """
    if whole:
        return frozenset((name,) for name in catalog)

    def leaves(value: Any, place: Place) -> set[Place]:  # noqa: ANN401
        if isinstance(value, dict) and value:
            return set().union(*(leaves(each, (*place, key)) for key, each in value.items()))
        return {place}

    return frozenset(leaves(dict(catalog), ())) if catalog else frozenset()


def _kind(entry: Mapping[str, Any], outer: str) -> str:
    """Say how a part of a catalog entry reaches its files: Spark, Spark by version, or open()."""
    name = entry.get("type")
    if not isinstance(name, str):
        return outer
    if not spark_session.is_spark_type(name):
        return "files"
    return "versions" if entry.get("versioned") else "spark"


def _remote(path: str, place: Place, kind: str, roots: Roots) -> str:
    below = _below(path, roots.local)
    if below is None:
        return path
    if "schema" in place:
        # A schema is opened by the driver, with open(), whatever the dataset.
        if roots.place == "local":
            return path
        kind = "files"
    root = roots.remote.rstrip("/")
    # Datasets list versions on the cluster through dbutils, which they take for /dbfs/ paths alone.
    if kind == "files" or (kind == "versions" and roots.place == "cluster"):
        root = re.sub(r"^dbfs:/+", "/dbfs/", root)
    return root + below


def _opened(path: str, place: spark_session.SparkLocation) -> str:
    """Return a path on Databricks as it can be opened from a place; any other path as it is.

    fsspec takes `dbfs:/x` for a local folder called `dbfs:`.
    """
    if place == "connect" and re.match(r"dbfs:/|/dbfs/|/Volumes/", path):
        return f"dbfs:///{re.sub(r'^(dbfs:/+|/dbfs/+|/)', '', path)}"
    if place == "cluster" and path.startswith("dbfs:/"):
        below = path.removeprefix("dbfs:").lstrip("/")
        return f"/{below}" if below.startswith("Volumes/") else f"/dbfs/{below}"
    return path


def _below(path: str, folder: str) -> str | None:
    """Return what follows the folder in a path, from its slash on; None where it is not in there."""
    if _URL.match(path) or path.startswith("/") or PureWindowsPath(path).drive:
        return None
    plain = posixpath.normpath(path.replace("\\", "/"))
    top = posixpath.normpath(folder)
    if plain != top and not plain.startswith(f"{top}/"):
        return None
    end = "/" if path.endswith(("/", "\\")) and plain != top else ""
    return plain[len(top) :] + end
