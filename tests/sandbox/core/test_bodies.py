"""Parameters of a request as a model: what is accepted, and the message of each error."""

from __future__ import annotations

from typing import Any

import pytest

from kedro_databricks_hybrid.sandbox.core.bodies import (
    Array,
    ArrayOf,
    Base64,
    Body,
    Flag,
    Integer,
    Object,
    Required,
    parse,
)
from kedro_databricks_hybrid.sandbox.core.errors import ApiError

LARGEST = 2**63 - 1


class Given(Body):
    """A field of each kind."""

    path: Required = "/a"
    name: str = "none"
    count: Integer = 5
    force: Flag = False
    content: Base64 = b""
    tags: Object
    parts: Array
    limit: Integer | None = None
    names: ArrayOf[str]


class Strict(Body):
    """A field without a default."""

    path: Required


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("name", "", ""),
        ("name", None, "none"),
        ("count", "12", 12),
        ("count", "-3", -3),
        ("count", str(LARGEST), LARGEST),
        ("count", -LARGEST, -LARGEST),
        ("count", None, 5),
        ("force", True, True),
        ("force", "TRUE", True),
        ("force", "false", False),
        ("content", "eA==", b"x"),
        ("tags", {"a": None}, {"a": None}),
        ("tags", None, {}),
        ("parts", [None, 1], [None, 1]),
        ("parts", None, []),
        ("limit", "7", 7),
        ("limit", None, None),
    ],
)
def test_what_is_read(name: str, value: object, read: object) -> None:
    """Integers may be digits, booleans words; null means absent; unknown fields are ignored."""
    assert getattr(parse(Given, {name: value, "unknown": [1]}), name) == read


@pytest.mark.parametrize(
    ("name", "wrong", "kind"),
    [
        ("path", [1, 1.5, True, [], {}], "must be a string"),
        ("name", [0, ["x"]], "must be a string"),
        ("count", ["", "x", " 5", "1.0", "٣", 1.0, True, [], 2**63, "9" * 25], "must be an integer"),
        ("force", ["", "yes", "1", 0, 1, []], "must be a boolean"),
        ("content", [1, {}], "must be a string"),
        ("content", ["eA", "é", "a b="], "is not valid base64"),
        ("tags", ["x", [], 1], "must be an object"),
        ("parts", ["x", {}, 1], "must be an array"),
        ("limit", ["x"], "must be an integer"),
    ],
)
def test_the_words_of_a_wrong_type(name: str, wrong: list[Any], kind: str) -> None:
    """The message names the field and its type."""
    for value in wrong:
        with pytest.raises(ApiError) as refusal:
            parse(Given, {name: value})
        assert refusal.value.error_code == "MALFORMED_REQUEST"
        assert refusal.value.message == f"Could not parse request object: field '{name}' {kind}"


def test_the_words_of_a_wrong_entry() -> None:
    """The message names the array."""
    with pytest.raises(ApiError) as refusal:
        parse(Given, {"names": ["a", 1]})
    assert (refusal.value.error_code, refusal.value.message) == (
        "INVALID_PARAMETER_VALUE",
        "names must be strings.",
    )


@pytest.mark.parametrize("values", [{}, {"path": None}, {"path": ""}])
def test_the_words_of_a_missing_field(values: dict[str, Any]) -> None:
    """An empty string is missing too."""
    with pytest.raises(ApiError) as refusal:
        parse(Strict, values)
    assert refusal.value.error_code == "INVALID_PARAMETER_VALUE"
    assert refusal.value.message == "Missing required field: path"
