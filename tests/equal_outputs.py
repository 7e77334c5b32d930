"""Compare the outputs of two runs: numbers to a relative 1e-9, everything else exactly.

The last bits of a number may differ, since libraries add in another order on another processor. Tables are
compared cell by cell, models attribute by attribute, pictures pixel by pixel, and other files byte by byte.
"""

from __future__ import annotations

import csv
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

RELATIVE = 1e-9
_Seen = dict[tuple[int, int], tuple[object, object]]
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z")
_COMPUTED = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")


def assert_equal_outputs(one: Path, other: Path) -> None:
    """Fail if two data folders differ in the layers from 02_intermediate to 08_reporting.

    A folder of `part-*` files, as Spark writes it, is one table whose rows have no order. Versions have the
    names of their times, so they are compared by their order.
    """
    ours, theirs = _outputs(one), _outputs(other)
    assert ours, f"{one} has no outputs"
    assert_equal_values(ours, theirs)


def assert_equal_values(one: object, other: object) -> None:
    """Fail if two values of any type differ, with the paths of the differences."""
    found = _differences(one, other, "", {})
    assert not found, "\n".join(found[:20])


def _outputs(data: Path) -> dict[str, object]:
    """Return the content of each output by its path."""
    found: dict[str, object] = {}
    for path in sorted(data.glob("0[2-8]_*/**/*")):
        if path.is_dir() and (parts := sorted(path.glob("part-*"))):
            found[_name(path, data)] = _unordered([_table(part) for part in parts])
        elif path.is_file() and not path.name.startswith((".", "_SUCCESS")) and not _parts_beside(path):
            found[_name(path, data)] = content(path)
    return found


def _name(path: Path, data: Path) -> str:
    """Return a file's path in its data folder, with the number of older versions instead of the version."""

    def part(each: Path) -> str:
        versions = sorted(sibling.name for sibling in each.parent.iterdir())
        return f"version {versions.index(each.name)}" if _VERSION.fullmatch(each.name) else each.name

    folders = [each for each in reversed(path.parents) if data in each.parents]
    return "/".join(part(each) for each in [*folders, path])


def _parts_beside(path: Path) -> bool:
    return any(path.parent.glob("part-*"))


def content(path: Path) -> object:
    """Return a file's content, independent of the version of the library that wrote it."""
    if path.suffix in {".parquet", ".csv"}:
        return _table(path)
    if path.suffix == ".json":  # also of plotly
        return json.loads(path.read_text("utf-8"))
    if path.suffix in {".pickle", ".pkl"}:
        return pickle.loads(path.read_bytes())  # noqa: S301 - written by the tests
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return picture.mode, picture.size, picture.tobytes()
    return path.read_bytes()


def _table(path: Path) -> list[Any]:
    """Return the columns of a table with their types, followed by its rows."""
    if path.suffix == ".parquet":
        table = pq.ParquetFile(path).read()
        types = [f"{field.name}: {field.type}".replace("large_string", "string") for field in table.schema]
        return [types, *([*row.values()] for row in table.to_pylist())]
    with path.open(encoding="utf-8", newline="") as lines:
        return [[_cell(text) for text in line] for line in csv.reader(lines)]


def _cell(text: str) -> str | float:
    """Return a number with a fraction as a float, anything else as text."""
    return float(text) if _COMPUTED.fullmatch(text) else text


def _unordered(parts: list[list[Any]]) -> list[Any]:
    """Return the header and the sorted rows of a table's parts; floats are compared last."""

    def exact_first(row: list[Any]) -> tuple[str, str]:
        return repr([each for each in row if not isinstance(each, float)]), repr(row)

    parts = [part for part in parts if part]
    if len({repr(part[0]) for part in parts}) == 1:
        return [parts[0][0], *sorted((row for part in parts for row in part[1:]), key=exact_first)]
    return sorted((row for part in parts for row in part), key=exact_first)


def _differences(one: Any, other: Any, where: str, seen: _Seen) -> list[str]:
    """Return a line for each difference of two values."""
    if isinstance(one, float) and isinstance(other, float):
        same = math.isclose(one, other, rel_tol=RELATIVE) or (math.isnan(one) and math.isnan(other))
        return [] if same else [f"{where or 'it'}: {one!r} and {other!r}"]
    if type(one) is not type(other):
        return [f"{where or 'it'}: {type(one).__name__} {one!r:.80} and {type(other).__name__} {other!r:.80}"]
    if one is other or (id(one), id(other)) in seen:
        return []
    if isinstance(one, (list, tuple)):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict):
        found = [f"{where}: only one has {key!r}" for key in one.keys() ^ other.keys()]
        for key in one.keys() & other.keys():
            found += _differences(one[key], other[key], f"{where}[{key!r}]", seen)
        return found
    parts = _parts(one), _parts(other)
    if None not in parts:
        seen[id(one), id(other)] = (one, other)  # keeps the objects alive, so that their ids are not reused
        return _differences(*parts, f"{where}<{type(one).__name__}>", seen)
    return [] if one == other else [f"{where or 'it'}: {one!r:.80} and {other!r:.80}"]


def _parts(value: Any) -> tuple[Any, ...] | None:
    """Return the parts of an object, None if it can only be compared as a whole."""
    if isinstance(value, pd.DataFrame):
        return value.columns, value.index, [value.iloc[:, number] for number in range(value.shape[1])]
    if isinstance(value, pd.Series):
        return repr(value.dtype), value.name, value.index, list(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.shape, value.tolist()
    if isinstance(value, (type, str, bytes, int, complex, set, frozenset)) or value is None:
        return None
    try:
        made = value.__reduce_ex__(4)  # as pickle does it: models, figures, dates, sets
    except TypeError:  # a function
        return None
    return (
        None if isinstance(made, str) else tuple(list(part) if _is_iterator(part) else part for part in made)
    )


def _is_iterator(part: object) -> bool:
    """Return whether a part iterates over the items of a subclass of list or dict."""
    return hasattr(part, "__next__")
