"""Map the paths of a catalog from the local data folder to the data root on Databricks. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.project.datasets import NOT_READ, PATH_KEYS, path_in
from kedro_databricks_hybrid.spark import session as spark_session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

KeyPath = tuple[str | int, ...]
"""The position of a value in a catalog: the dataset's name, then keys and list indexes."""

# The keys whose values form the full name of a table.
_TABLE_KEYS = ("catalog", "database", "table", "table_name")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class Roots:
    """The local data folder and the data root.

    Args:
        local: The data folder, relative to the project.
        remote: The data root, `dbfs:/...` or `/Volumes/...`.
        spark: Where the datasets will be used: on a cluster, through Databricks Connect, or not at all.
    """

    local: str
    remote: str
    spark: spark_session.SparkLocation


def mapped(catalog: Mapping[str, Any], roots: Roots, *, kept: frozenset[KeyPath]) -> dict[str, Any]:
    """Return the catalog with every path in the local data folder moved to the data root.

    Spark datasets get the data root unchanged. Other datasets open files: on DBFS below /dbfs/, and through
    Databricks Connect, which has neither /dbfs nor /Volumes, with the REST API as `dbfs:///...`.

    Args:
        catalog: Kedro's catalog configuration, resolved.
        roots: The data folder and the data root.
        kept: Positions whose values, and all values below them, are not moved.
    """

    def walk(value: Any, keys: KeyPath, kind: str, *, is_kept: bool = False) -> Any:  # noqa: ANN401
        is_kept = is_kept or keys in kept
        if isinstance(value, dict):
            inner = _kind(value, kind)
            return {key: walk(each, (*keys, key), inner, is_kept=is_kept) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*keys, index), kind, is_kept=is_kept) for index, each in enumerate(value)]
        if isinstance(value, str) and len(keys) > 1 and NOT_READ.isdisjoint(keys[1:]):
            return _mapped_value(value, keys, kind, roots, is_kept=is_kept)
        return value

    return {name: walk(entry, (name,), "files") for name, entry in catalog.items()}


def unmapped(
    catalog: Mapping[str, Any], mapped: Mapping[str, Any], folder: str, written: Collection[str]
) -> list[tuple[str, str, str]]:
    """Return the values that are paths in the project, and so in the Git folder on Databricks.

    Args:
        catalog: The catalog with its paths in the local data folder.
        mapped: The same catalog with mapped paths.
        folder: The local data folder, relative to the project.
        written: The entries that pipelines write: of those, paths outside of the data folder count too.

    Returns:
        Of each value: its dataset, its key with the outer keys, and itself.
    """

    def walk(value: Any, there: Any, keys: KeyPath) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401
        if isinstance(value, (dict, list)):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, each in pairs:
                if key not in NOT_READ and type(there) is type(value):
                    yield from walk(each, there[key], (*keys, key))
        elif isinstance(value, str) and value == there and (below := _path_below_project(value)):
            is_data = _below(below, folder) not in {None, ""}
            is_output = keys[0] in written and keys[-1] in PATH_KEYS
            if is_data or is_output:
                yield str(keys[0]), ".".join(map(str, keys[1:])), value

    found = [walk(catalog[name], mapped.get(name), (name,)) for name in catalog]
    return [each for values in found for each in values]


def locations(entry: object) -> list[str]:
    """Return the paths in a catalog entry at any depth, and the full names of its tables."""
    if isinstance(entry, list):
        return [location for each in entry for location in locations(each)]
    if not isinstance(entry, dict):
        return []
    table = ".".join(str(entry[key]) for key in _TABLE_KEYS if entry.get(key))
    found = [table] if table and entry.get("table", entry.get("table_name")) else []
    for key, value in entry.items():
        if key == "credentials":
            continue
        found += [value] if key in PATH_KEYS and isinstance(value, str) else locations(value)
    return found


def given(catalog: Mapping[str, Any], *, whole: bool) -> frozenset[KeyPath]:
    """Return the positions for which an env's catalog has a value.

    Args:
        catalog: The catalog of the env alone, without the base.
        whole: Return each dataset as a whole, for an env that replaces the datasets of the base;
            else each single value, for an env that is merged with the base (`soft`).
    """
    if whole:
        return frozenset((name,) for name in catalog)

    def leaves(value: Any, keys: KeyPath) -> set[KeyPath]:  # noqa: ANN401
        if isinstance(value, dict) and value:
            return set().union(*(leaves(each, (*keys, key)) for key, each in value.items()))
        return {keys}

    return frozenset(leaves(dict(catalog), ())) if catalog else frozenset()


def _kind(entry: Mapping[str, Any], outer: str) -> str:
    """Return how a part of a catalog entry reads files: `spark`, `versions` (versioned Spark) or `files`."""
    name = entry.get("type")
    if not isinstance(name, str):
        return outer
    if not spark_session.is_spark_type(name):
        return "files"
    return "versions" if entry.get("versioned") else "spark"


def _mapped_value(value: str, keys: KeyPath, kind: str, roots: Roots, *, is_kept: bool) -> str:
    """Return a value with the path that it is or contains mapped."""
    if keys[-1] in PATH_KEYS:
        path = value if is_kept else _remote(value, keys, kind, roots)
        return _openable(path, roots.spark) if kind == "files" or "schema" in keys else path
    found = path_in(next(str(key) for key in reversed(keys) if isinstance(key, str)), value)
    is_data = found is not None and _below(found[1], roots.local)
    if is_kept or found is None or not is_data:
        return value
    before, path, after = found
    kind = "files" if before else kind
    if kind == "files" and roots.spark == "connect":
        return value  # only datasets that use fsspec can open files on Databricks from here
    mapped = _remote(path, keys, kind, roots)
    return before + (_openable(mapped, roots.spark) if kind == "files" else mapped) + after


def _path_below_project(value: str) -> str:
    """Return the path in a value if it is relative; empty if it is none."""
    found = path_in("path", value)
    path = found[1] if found else value
    is_path = "\n" not in path and not _URL.match(path) and not path.startswith("/")
    return path if is_path and not PureWindowsPath(path).drive else ""


def _remote(path: str, keys: KeyPath, kind: str, roots: Roots) -> str:
    below = _below(path, roots.local)
    if below is None:
        return path
    if "schema" in keys:
        # The driver reads a schema with open(), whatever the dataset.
        if roots.spark == "local":
            return path
        kind = "files"
    root = roots.remote.rstrip("/")
    # On a cluster, datasets list their versions with dbutils, but only for paths that begin with /dbfs/.
    if kind == "files" or (kind == "versions" and roots.spark == "cluster"):
        root = re.sub(r"^dbfs:/+", "/dbfs/", root)
    return root + below


def _openable(path: str, spark: spark_session.SparkLocation) -> str:
    """Return a path on Databricks in the form that open() or fsspec need; other paths unchanged.

    fsspec reads `dbfs:/x` as a local folder called `dbfs:`.
    """
    if spark == "connect" and re.match(r"dbfs:/|/dbfs/|/Volumes/", path):
        return f"dbfs:///{re.sub(r'^(dbfs:/+|/dbfs/+|/)', '', path)}"
    if spark == "cluster" and path.startswith("dbfs:/"):
        below = path.removeprefix("dbfs:").lstrip("/")
        return f"/{below}" if below.startswith("Volumes/") else f"/dbfs/{below}"
    return path


def _below(path: str, folder: str) -> str | None:
    """Return the part of a path below a folder, with its leading slash; None if it is not in the folder."""
    if _URL.match(path) or path.startswith("/") or PureWindowsPath(path).drive:
        return None
    plain = posixpath.normpath(path.replace("\\", "/"))
    top = posixpath.normpath(folder)
    if plain != top and not plain.startswith(f"{top}/"):
        return None
    end = "/" if path.endswith(("/", "\\")) and plain != top else ""
    return plain[len(top) :] + end
