"""The comparison of outputs ignores the last bits of numbers, and nothing else."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.equal_outputs import assert_equal_outputs, assert_equal_values

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER, LAST_BITS, WRONG = 311.63784194043467, 311.6378419404347, 311.637843


@dataclass
class Model:
    """A model as libraries store it: arrays, tables, numbers and other objects."""

    weights: Any
    name: str = "regressor"
    inner: Model | None = None


def _nested(number: float) -> Model:
    table = pd.DataFrame({"a": [number, float("nan")], "b": ["x", None]})
    return Model(np.array([[1.0, number]]), inner=Model([table, {"c": np.float64(number)}]))


def _csv(path: Path, number: float) -> None:
    path.write_text(f"name,count,value\nx,3,{number!r}\n")


def _json(path: Path, number: float) -> None:
    path.write_text(json.dumps({"data": [{"type": "bar", "y": [3, number]}]}))


def _parquet(path: Path, number: float) -> None:
    pd.DataFrame({"name": ["x", None], "value": [number, None]}).to_parquet(path)


def _pickle(path: Path, number: float) -> None:
    path.write_bytes(pickle.dumps(_nested(number)))


@pytest.mark.parametrize("write", [_csv, _json, _parquet, _pickle])
def test_numbers_may_differ_in_their_last_bits(tmp_path: Path, write: Callable[[Path, float], None]) -> None:
    """Numbers may differ by a relative 1e-9 in files of every kind; more is an error."""
    for folder, number in (("one", NUMBER), ("same", LAST_BITS), ("other", WRONG)):
        file = tmp_path / folder / "03_primary" / f"output.{write.__name__.strip('_')}"
        file.parent.mkdir(parents=True)
        write(file, number)
    assert NUMBER != LAST_BITS
    assert_equal_outputs(tmp_path / "one", tmp_path / "same")
    with pytest.raises(AssertionError, match=r"output\..*311\.63784194.* and 311\.637843"):
        assert_equal_outputs(tmp_path / "one", tmp_path / "other")


def fill(data: Path, **files: str) -> Path:
    """Write outputs below a folder; `__` stands for a slash and `_` at the end for `.csv`."""
    for name, text in files.items():
        path = data / "02_intermediate" / name.replace("__", "/").replace("_csv", ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return data


@pytest.mark.parametrize(
    "other",
    [
        {"a_csv": "n,v\nx,2\n"},
        {"a_csv": "n,v\nx,1.0\n"},
        {"a_csv": "n,w\nx,1\n"},
        {"a_csv": "n,v\ny,1\n"},
        {"a_csv": "n,v\nx,1\nx,1\n"},
        {"b_csv": "n,v\nx,1\n"},
        {"a_csv": "n,v\nx,1\n", "b_csv": ""},
    ],
    ids=["a count", "a type", "a header", "a text", "a row", "a name", "a file"],
)
def test_all_else_must_be_the_same(tmp_path: Path, other: dict[str, str]) -> None:
    """A different count, type, name, text, number of rows or set of files is an error."""
    one = fill(tmp_path / "one", a_csv="n,v\nx,1\n")
    assert_equal_outputs(one, fill(tmp_path / "same", a_csv="n,v\nx,1\n"))
    with pytest.raises(AssertionError, match=r"[ab]\.csv"):
        assert_equal_outputs(one, fill(tmp_path / "other", **other))


def test_a_table_of_sparks_has_rows_in_no_order(tmp_path: Path) -> None:
    """Rows of a Spark table may have any order and number of part files; duplicates must be equal."""
    one = fill(tmp_path / "one", t_csv__part_0="n,v\nx,1.5\ny,2.5\n", t_csv___SUCCESS="")
    split = fill(tmp_path / "split", t_csv__part_0="n,v\ny,2.5\n", t_csv__part_1="n,v\nx,1.5\n")
    twice = fill(tmp_path / "twice", t_csv__part_0="n,v\ny,2.5\n", t_csv__part_1="n,v\ny,2.5\n")
    for data in (one, split, twice):
        for part in data.rglob("part_*"):
            part.rename(part.with_name(part.name.replace("_", "-") + ".csv"))
    assert_equal_outputs(one, split)
    with pytest.raises(AssertionError, match=r"'x' and .*'y'"):
        assert_equal_outputs(one, twice)


def test_versions_are_compared_by_their_order(tmp_path: Path) -> None:
    """The times at which they were saved do not matter."""
    times = ["2026-11-24T10.00.00.000Z", "2026-11-24T11.00.00.000Z", "2026-11-24T12.00.00.000Z"]
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for data, (first, second) in ((one, times[:2]), (same, times[1:]), (other, times[1::-1])):
        for time, text in ((first, "1"), (second, "2")):
            fill(data, **{f"m.json/{time}/m.json": text})
    assert_equal_outputs(one, same)
    with pytest.raises(AssertionError, match=r"m\.json/version 0/m\.json.*1 and 2"):
        assert_equal_outputs(one, other)


def test_a_picture_is_its_pixels(tmp_path: Path) -> None:
    """Metadata does not matter; a single pixel does."""
    from PIL.PngImagePlugin import PngInfo

    for folder, pixel, software in (("one", 0, "1"), ("same", 0, "2"), ("other", 1, "1")):
        picture, notes = Image.new("L", (2, 2)), PngInfo()
        picture.putpixel((1, 1), pixel)
        notes.add_text("Software", software)
        file = tmp_path / folder / "08_reporting" / "plot.png"
        file.parent.mkdir(parents=True)
        picture.save(file, pnginfo=notes)
    assert_equal_outputs(tmp_path / "one", tmp_path / "same")
    with pytest.raises(AssertionError, match=r"plot\.png"):
        assert_equal_outputs(tmp_path / "one", tmp_path / "other")


def _cycle(number: float) -> Model:
    model = Model(number)
    model.inner = model
    return model


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array([1.0]), np.array([1.0], dtype="float32")),
        (np.array([1.0, 2.0]), np.array([[1.0, 2.0]])),
        (pd.Series([1.0], name="a"), pd.Series([1.0], name="b")),
        (pd.Series([1, 2]), pd.Series([1, 2], index=[1, 2])),
        (pd.Series(["a"], dtype="category"), pd.Series(["a"])),
        (pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")),
        (Model([1.0]), Model([1.0], name="classifier")),
        (_cycle(1.0), _cycle(2.0)),
        ({1, 2}, {1, 3}),
        (len, sum),
        (0.0, float("nan")),
    ],
)
def test_models_differ_in_whatever_they_hold(one: object, other: object) -> None:
    """A different type, shape, name, index, date, attribute, nested model or function is an error."""
    assert_equal_values([one], [pickle.loads(pickle.dumps(one))])  # noqa: S301 - ours
    with pytest.raises(AssertionError, match=r"\[0\]"):
        assert_equal_values([one], [other])


def test_no_outputs_are_no_equal_outputs(tmp_path: Path) -> None:
    """A comparison without any outputs is an error."""
    (tmp_path / "02_intermediate").mkdir()
    (tmp_path / "02_intermediate" / ".gitkeep").touch()
    with pytest.raises(AssertionError, match="has no outputs"):
        assert_equal_outputs(tmp_path, tmp_path)
