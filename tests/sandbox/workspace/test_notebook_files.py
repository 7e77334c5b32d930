"""Import and export of notebooks, through the SDK."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from databricks.sdk.errors import BadRequest, InvalidParameterValue, ResourceDoesNotExist
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
LANGUAGES = {
    "PYTHON": (".py", "#"),
    "SQL": (".sql", "--"),
    "SCALA": (".scala", "//"),
    "R": (".r", "#"),
}
"""The extension and the comment of each language."""


def source(language: str, *cells: str) -> str:
    """Return the source of a notebook, as Databricks exports it."""
    comment = LANGUAGES[language][1]
    return f"{comment} Databricks notebook source\n" + f"\n\n{comment} COMMAND ----------\n\n".join(cells)


def jupyter(cell: str = "1", **metadata: object) -> str:
    """Return an .ipynb file with one cell."""
    cells = [{"cell_type": "code", "source": [cell], "metadata": {}, "outputs": []}]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 2})


def exported(api: WorkspaceAPI, path: str, kind: ExportFormat | None = None) -> str:
    """Return an exported notebook as text."""
    return base64.b64decode(api.export(path, format=kind).content or "").decode()


def status(http: httpx.Client, path: str) -> dict[str, object]:
    """Return what the workspace says about a path, with the format of a notebook."""
    asked = {"path": path, "return_export_info": "true"}
    answer: dict[str, object] = http.get("/api/2.0/workspace/get-status", params=asked).json()
    return answer


def send(http: httpx.Client, name: str, content: str, *, overwrite: bool = False) -> httpx.Response:
    """Send a file to the user's home, as `databricks sync` does."""
    path = quote(f"{HOME}/{name}".lstrip("/"), safe="")
    asked = {"overwrite": str(overwrite).lower()}
    return http.post(f"/api/2.0/workspace-files/import-file/{path}", content=content, params=asked)


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_by_its_file_name(http: httpx.Client, api: WorkspaceAPI, language: str) -> None:
    """Sent by file name in either format, it is found without extension, and is exported as it came."""
    extension, _ = LANGUAGES[language]
    text = source(language, "first", "second")
    name = {"language_info": {"name": language.title()}}
    for file, content, kind in (
        (f"a{extension}", f"{text}\n", "SOURCE"),
        ("b.ipynb", jupyter("first", **name), "JUPYTER"),
        (f"c{extension}", f"`{text}", "SOURCE"),  # another character before the header
    ):
        path = f"{HOME}/{file[0]}"
        assert send(http, file, content).status_code == 200
        shown = status(http, path)
        assert (shown["object_type"], shown["language"]) == ("NOTEBOOK", language)
        assert shown["repos_export_format"] == kind
        again = send(http, file, content)
        assert (again.status_code, again.json()["error_code"]) == (400, "")
        assert again.json()["message"] == f"Path ({HOME}/{file}) already exists."
        assert send(http, file, content, overwrite=True).status_code == 200
        assert exported(api, path) == (text if kind == "SOURCE" else source(language, "first"))
        document = json.loads(exported(api, path, ExportFormat.JUPYTER))
        assert document["metadata"]["language_info"]["name"] == language.lower()
        assert "".join(document["cells"][0]["source"]) == "first"
    assert [entry.path for entry in api.list(HOME)] == [f"{HOME}/{name}" for name in "abc"]
    assert (
        "repos_export_format" not in http.get("/api/2.0/workspace/get-status", params={"path": path}).json()
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_import_source(api: WorkspaceAPI, home: Path, language: str) -> None:
    """Source becomes a notebook of its language; a missing header is added, an existing one is kept."""
    kind, extension = Language(language), LANGUAGES[language][0]
    for name, text in (("bare", "x"), ("whole", source(language, "x"))):
        api.import_(f"{HOME}/{name}", content=encoded(text), format=ImportFormat.SOURCE, language=kind)
        assert api.get_status(f"{HOME}/{name}").language == kind
        assert (home / f"{name}{extension}").read_text() == exported(api, f"{HOME}/{name}")
        assert exported(api, f"{HOME}/{name}") == source(language, "x")


def test_import_source_without_a_language(api: WorkspaceAPI) -> None:
    """Databricks takes the content for an archive, which the sandbox does not import."""
    with pytest.raises(BadRequest, match=r"The zip archive contains no items\."):
        api.import_(f"{HOME}/note", content=encoded("x"), format=ImportFormat.SOURCE)
    put(api, f"{HOME}/note.py", SOURCE)
    archive = api.export(HOME).content
    with pytest.raises(InvalidParameterValue, match="does not import archives"):
        api.import_(f"{HOME}/copy", content=archive, format=ImportFormat.SOURCE)
    assert [entry.path for entry in api.list(HOME)] == [f"{HOME}/note"]


def test_a_header_needs_an_extension(http: httpx.Client, api: WorkspaceAPI) -> None:
    """Without one, or with one of another language, it is in a file; so is code without a header."""
    for name, content in (("note", SOURCE), ("note.sql", SOURCE), ("note.txt", SOURCE), ("code.py", "1")):
        put(api, f"{HOME}/{name}", content)
        shown = status(http, f"{HOME}/{name}")
        assert (shown["object_type"], shown["size"]) == ("FILE", len(content))
        raw = http.get(f"/api/2.0/workspace-files{HOME}/{name}")
        assert (raw.status_code, raw.text) == (200, content)
    assert http.get(f"/api/2.0/workspace-files{HOME}").status_code == 400


def test_a_notebook_beside_a_file_of_its_name(http: httpx.Client, api: WorkspaceAPI, home: Path) -> None:
    """The notebook `x` and the file `x.py` are two objects, whichever comes first."""
    for name, contents in (("x.py", ("1", SOURCE)), ("y.py", (SOURCE, "1"))):
        for content in contents:
            assert send(http, name, content, overwrite=True).status_code == 200
    both = [f"{HOME}/{name}" for name in ("x", "x.py", "y", "y.py")]
    assert [entry.path for entry in api.list(HOME)] == both
    assert exported(api, f"{HOME}/x.py") == exported(api, f"{HOME}/y.py") == "1"
    assert exported(api, f"{HOME}/x") == exported(api, f"{HOME}/y") == SOURCE.rstrip("\n")
    for path in both:
        api.delete(path)
    assert list(home.iterdir()) == []


def test_the_language_of_a_jupyter_notebook(http: httpx.Client) -> None:
    """The language is in one of three places of the metadata; without one it is Python."""
    databricks = "application/vnd.databricks.v1+notebook"
    for metadata, language in (
        ({databricks: {"language": "scala"}, "language_info": {"name": "python"}}, "SCALA"),
        ({"language_info": {"name": "R", "version": "4"}}, "R"),
        ({"kernelspec": {"language": "sql", "name": "any"}}, "SQL"),
        ({"language_info": "sql", "kernelspec": {"language": "julia"}}, "PYTHON"),
    ):
        assert send(http, "a.ipynb", jupyter(**metadata), overwrite=True).status_code == 200
        assert status(http, f"{HOME}/a")["language"] == language


def test_jupyter_in_and_out(api: WorkspaceAPI) -> None:
    """An .ipynb is a notebook; exported as source it has Databricks' separators, as Jupyter its metadata."""
    api.import_(f"{HOME}/note", content=encoded(JUPYTER), format=ImportFormat.JUPYTER)
    assert api.get_status(f"{HOME}/note").object_type == ObjectType.NOTEBOOK
    title = "# MAGIC %md\n# MAGIC # Title"
    assert exported(api, f"{HOME}/note") == source(
        "PYTHON", "print(1)\nprint(2)", "# MAGIC %pip install x", title
    )
    document = json.loads(exported(api, f"{HOME}/note", ExportFormat.JUPYTER))
    assert document["cells"] == json.loads(JUPYTER)["cells"]
    assert document["metadata"]["application/vnd.databricks.v1+notebook"] == {
        "language": "python",
        "notebookName": "note",
    }


def test_source_out_as_jupyter(api: WorkspaceAPI) -> None:
    """Source is exported as Jupyter with the cells that Databricks splits it into."""
    put(api, f"{HOME}/note.py", SOURCE)
    answer = api.export(f"{HOME}/note", format=ExportFormat.JUPYTER)
    cells = json.loads(base64.b64decode(answer.content or ""))["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == [
        ("code", "print(1)"),
        ("markdown", "# Title"),
    ]


@pytest.mark.parametrize("content", ["", "{}", "[" * 5000, jupyter().replace("4", "3"), '{"cells": [1]}'])
def test_a_broken_jupyter_notebook_is_refused(http: httpx.Client, api: WorkspaceAPI, content: str) -> None:
    """A broken Jupyter notebook is refused, in whatever way it is sent."""
    for kind in (ImportFormat.JUPYTER, ImportFormat.AUTO):
        with pytest.raises(InvalidParameterValue, match="not a Jupyter notebook"):
            api.import_(f"{HOME}/note.ipynb", content=encoded(content), format=kind)
    assert send(http, "note.ipynb", content).status_code == 400
    assert list(api.list(HOME)) == []


def test_a_notebook_replaces_one_of_another_kind(api: WorkspaceAPI, home: Path) -> None:
    """A Jupyter notebook replaces a source one of that name; the old file is deleted."""
    put(api, f"{HOME}/note.py", SOURCE)
    content = encoded(JUPYTER)
    api.import_(f"{HOME}/note", content=content, format=ImportFormat.JUPYTER, overwrite=True)
    assert [path.name for path in home.iterdir()] == ["note.ipynb"]
    answer = api.export(f"{HOME}/note", format=ExportFormat.AUTO)
    assert answer.file_type == "ipynb"
    assert json.loads(base64.b64decode(answer.content or ""))["cells"] == json.loads(JUPYTER)["cells"]


def test_formats_and_languages_that_are_unknown(http: httpx.Client, api: WorkspaceAPI) -> None:
    """Import and export refuse unknown formats and languages by name."""
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
