"""Editing one setting in a YAML file keeps its comments, order and line endings."""

from __future__ import annotations

import pytest

from kedro_databricks_hybrid.project.yaml_edit import CannotEditError, with_value

ROOT = "/Volumes/main/default/shop"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"data:\n  root: {ROOT}\n"),
        ("# Mine.\ncode:\n  sync: git", f"# Mine.\ncode:\n  sync: git\ndata:\n  root: {ROOT}\n"),
        ("data:\n  # root: x\ncode:\n", f"data:\n  root: {ROOT}\n  # root: x\ncode:\n"),
        ("data: # where", f"data: # where\n  root: {ROOT}\n"),
        ("data: {}\n", f"data:\n  root: {ROOT}\n"),
        ("data: null\ncode: {sync: git}\n", f"data:\n  root: {ROOT}\ncode: {{sync: git}}\n"),
        ("data: {local: x}\n", f'data: {{root: "{ROOT}", local: x}}\n'),
        ("data:\n  root: dbfs:/x  # there\n  local: x\n", f"data:\n  root: {ROOT}  # there\n  local: x\n"),
        ("data:\n  root: 'x'\n", f"data:\n  root: {ROOT}\n"),
        ("data:\n  root:\n", f"data:\n  root: {ROOT}\n"),
        ("data:\r\n  local: x\r\n", f"data:\r\n  root: {ROOT}\r\n  local: x\r\n"),
        ("data:\n    local: x\n", f"data:\n    root: {ROOT}\n    local: x\n"),
    ],
)
def test_only_the_value_changes(before: str, after: str) -> None:
    """Only the value changes, in block and flow style; a missing section or setting is added."""
    assert with_value(before, "data.root", ROOT) == after


def test_a_value_that_yaml_would_read_otherwise_is_quoted() -> None:
    """Values that YAML would read as another type are quoted, and read back unchanged."""
    assert with_value("", "compute.cluster", "017") == 'compute:\n  cluster: "017"\n'
    assert with_value("", "compute.cluster", "a #1") == 'compute:\n  cluster: "a #1"\n'


@pytest.mark.parametrize(
    "text",
    [
        "other: &shared dbfs:/x\ndata:\n  root: *shared\n",
        "data:\n  root: >-\n    dbfs:/x\n  local: x\n",
        "{data: {local: x}",
        "- data\n",
    ],
)
def test_what_only_its_author_can_change_is_left(text: str) -> None:
    """Aliases, multi-line values, invalid YAML and lists are left unchanged."""
    with pytest.raises(CannotEditError):
        with_value(text, "data.root", ROOT)
