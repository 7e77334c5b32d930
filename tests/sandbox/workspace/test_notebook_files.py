"""Import and export of notebooks, through the SDK."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.errors import (
    InvalidParameterValue,
    ResourceDoesNotExist,
)
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

from tests.sandbox.objects import HOME, SOURCE, encoded, put

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.workspace import WorkspaceAPI

    from tests.sandbox.conftest import Running

JUPYTER = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "source": ["print(1)\n", "print(2)"], "metadata": {}, "outputs": []},
            {"cell_type": "code", "source": "%pip install x", "metadata": {}, "outputs": []},
            {"cell_type": "markdown", "source": "# Title", "metadata": {}},
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)


@pytest.fixture
def api(workspace: WorkspaceClient) -> WorkspaceAPI:
    """Return the SDK's workspace client."""
    return workspace.workspace


@pytest.fixture
def home(running: Running) -> Path:
    """Return the path on disk of the user's home."""
    return running.sandbox.layout.workspace / HOME.lstrip("/")


def test_a_python_file_with_the_header_is_a_notebook(api: WorkspaceAPI, home: Path) -> None:
    """Answers leave out its extension; the file on disk has it."""
    put(api, f"{HOME}/note.py", SOURCE)
    status = api.get_status(f"{HOME}/note")
    assert (status.object_type, status.language) == (ObjectType.NOTEBOOK, Language.PYTHON)
    assert [entry.path for entry in api.list(HOME)] == [f"{HOME}/note"]
    assert (home / "note.py").read_text() == SOURCE
    with pytest.raises(ResourceDoesNotExist):
        api.get_status(f"{HOME}/note.py")


def test_a_python_file_without_the_header_is_a_file(api: WorkspaceAPI) -> None:
    """It keeps its extension."""
    put(api, f"{HOME}/module.py", "print(1)\n")
    status = api.get_status(f"{HOME}/module.py")
    assert (status.object_type, status.size) == (ObjectType.FILE, 9)


@pytest.mark.parametrize(
    ("language", "extension", "first_line"),
    [
        (Language.PYTHON, ".py", "# Databricks notebook source"),
        (Language.SQL, ".sql", "-- Databricks notebook source"),
        (Language.SCALA, ".scala", "// Databricks notebook source"),
        (Language.R, ".r", "# Databricks notebook source"),
    ],
)
def test_import_source(
    api: WorkspaceAPI, home: Path, language: Language, extension: str, first_line: str
) -> None:
    """It becomes a notebook of the language; a missing header is added."""
    api.import_(f"{HOME}/note", content=encoded("x"), format=ImportFormat.SOURCE, language=language)
    assert api.get_status(f"{HOME}/note").language == language
    assert (home / f"note{extension}").read_text().splitlines() == [first_line, "x"]


def test_import_source_needs_a_language(api: WorkspaceAPI) -> None:
    """As documented."""
    with pytest.raises(InvalidParameterValue, match="language"):
        api.import_(f"{HOME}/note", content=encoded("x"), format=ImportFormat.SOURCE)


def test_jupyter_in_and_out(api: WorkspaceAPI) -> None:
    """An .ipynb is a notebook; exported as source it has Databricks' separators."""
    api.import_(f"{HOME}/note", content=encoded(JUPYTER), format=ImportFormat.JUPYTER)
    assert api.get_status(f"{HOME}/note").object_type == ObjectType.NOTEBOOK
    source = base64.b64decode(api.export(f"{HOME}/note").content or "").decode()
    assert source == (
        "# Databricks notebook source\nprint(1)\nprint(2)\n\n# COMMAND ----------\n\n"
        "# MAGIC %pip install x\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC # Title\n"
    )
    answer = api.export(f"{HOME}/note", format=ExportFormat.JUPYTER)
    assert json.loads(base64.b64decode(answer.content or "")) == json.loads(JUPYTER)


def test_source_out_as_jupyter(api: WorkspaceAPI) -> None:
    """Cells are split where Databricks splits them."""
    put(api, f"{HOME}/note.py", SOURCE)
    answer = api.export(f"{HOME}/note", format=ExportFormat.JUPYTER)
    cells = json.loads(base64.b64decode(answer.content or ""))["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == [
        ("code", "print(1)"),
        ("markdown", "# Title"),
    ]


def test_a_broken_jupyter_notebook_is_refused(api: WorkspaceAPI) -> None:
    """It is not stored."""
    with pytest.raises(InvalidParameterValue):
        api.import_(f"{HOME}/note", content=encoded("{}"), format=ImportFormat.JUPYTER)
    assert list(api.list(HOME)) == []


def test_a_notebook_replaces_one_of_another_kind(api: WorkspaceAPI, home: Path) -> None:
    """A Jupyter notebook replaces a source one of that name; the old file is deleted."""
    put(api, f"{HOME}/note.py", SOURCE)
    content = encoded(JUPYTER)
    api.import_(f"{HOME}/note", content=content, format=ImportFormat.JUPYTER, overwrite=True)
    assert [path.name for path in home.iterdir()] == ["note.ipynb"]
    answer = api.export(f"{HOME}/note", format=ExportFormat.AUTO)
    assert (answer.content, answer.file_type) == (content, "ipynb")


def test_formats_and_languages_that_are_unknown(http: httpx.Client, api: WorkspaceAPI) -> None:
    """Import and export refuse it by name."""
    put(api, f"{HOME}/note.py", SOURCE)
    new = {"path": f"{HOME}/new", "content": encoded("x")}
    for fields, words in (
        ({**new, "format": "SOURCE", "language": "COBOL"}, "Unknown language 'COBOL'."),
        ({**new, "format": "HTML"}, "Format 'HTML' is not supported."),
    ):
        answer = http.post("/api/2.0/workspace/import", json=fields)
        assert (answer.status_code, answer.json()["message"]) == (400, words)
    answer = http.get("/api/2.0/workspace/export", params={"path": f"{HOME}/note", "format": "HTML"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Format 'HTML' is not supported.")
    assert [entry.path for entry in api.list(HOME)] == [f"{HOME}/note"]
