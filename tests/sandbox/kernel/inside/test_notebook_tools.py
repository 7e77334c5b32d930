"""Rare cases of displays, `%run` and the notebook's context; one kernel for all tests, no Spark."""

from __future__ import annotations

import ast
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.notebooks import Notebook, ServerProcess, is_cancelled, open_notebook, serve
from tests.sandbox.objects import SOURCE, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

JOBS = "/api/2.2/jobs/runs"
PICTURE = "from IPython.display import Image, display as show\ndot = Image(b'dot', format='png')\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Return a server in a separate process."""
    with serve(tmp_path_factory.mktemp("tools") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def notebook(server: ServerProcess) -> Iterator[Notebook]:
    """Return one context for all tests."""
    opened = open_notebook(server.http)
    yield opened
    opened.text("import time; time.sleep(1.5)")  # what has been executed is saved every second


def put(server: ServerProcess, path: str, source: str, language: str = "PYTHON") -> None:
    """Write a notebook."""
    fields = {"path": path, "content": encoded(source), "format": "SOURCE", "language": language}
    server.http.post("/api/2.0/workspace/import", json={**fields, "overwrite": True}).raise_for_status()


def test_a_data_frame_with_gaps_is_a_table(notebook: Notebook) -> None:
    """In a displayed table, values that JSON lacks are text, other values are as in IPython."""
    code = "import pandas, datetime as dt; day = dt.date(2024, 5, 1)\n"
    frame = "pandas.DataFrame({'x': [1.5, None], 'day': [day, day], 3: [True, False]})"
    results = notebook.results(f"{code}display('said', {frame})")
    assert results["resultType"] == "table"
    assert [column["name"] for column in results["schema"]] == ["x", "day", "3"]
    assert results["data"] == [[1.5, "2024-05-01", True], ["nan", "2024-05-01", False]]
    assert not results["truncated"]


def test_a_very_long_data_frame_is_cut(notebook: Notebook) -> None:
    """A displayed data frame is cut after 10,000 rows and marked as truncated."""
    results = notebook.results("import pandas; display(pandas.DataFrame({'x': range(10_001)}))")
    assert (len(results["data"]), results["truncated"]) == (10_000, True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("displayHTML('<b>bold</b>')", "<IPython.core.display.HTML object>"),
        ("display(3)", "3"),
        ("print('a', end=''); display(3)", "a\n3"),
        ("get_ipython().display_pub.publish({'application/json': {}})", ""),
        ("\n\n%python\n1 + 1", "2"),
        ("\n  \n", ""),
    ],
)
def test_what_is_shown_is_text(notebook: Notebook, code: str, said: str) -> None:
    """Each value is on a new line; an object without text is left out."""
    assert notebook.text(code) == said


def test_several_pictures(notebook: Notebook) -> None:
    """One picture is an image result, several are an images result."""
    one, two = (notebook.results(f"{PICTURE}{code}") for code in ("show(dot)", "show(dot, dot)"))
    assert one["resultType"] == "image"
    assert (two["resultType"], two["fileNames"]) == ("images", [one["fileName"]] * 2)


def test_a_notebook_includes_another(server: ServerProcess, notebook: Notebook) -> None:
    """`%run` includes a notebook by its workspace path, in either format; its failure is raised."""
    put(server, "/Shared/parts", "NAME = dbutils.widgets.get('given')")
    assert notebook.text('%run /Shared/parts $given="a b"') == ""
    assert notebook.text("NAME") == "'a b'"
    cell = {"cell_type": "code", "source": "NAME = 'two'", "metadata": {}, "outputs": []}
    document = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    fields = {"path": "/Shared/jupyter", "content": encoded(json.dumps(document)), "format": "JUPYTER"}
    server.http.post("/api/2.0/workspace/import", json=fields).raise_for_status()
    assert notebook.text("%run '/Workspace/Shared/jupyter'\n") == ""
    assert notebook.text("NAME") == "'two'"
    put(server, "/Shared/fails", "1 / 0")
    assert "ZeroDivisionError" in notebook.results("%run /Shared/fails")["summary"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("%run", "%run needs the path of a notebook."),
        ("%run /Shared/nothing", "Notebook not found: /Shared/nothing"),
        ("%run /Shared/scala", "The sandbox does not run notebooks in Scala: /Shared/scala"),
        ("%scala\nval x = 1", "The sandbox does not run cells in Scala."),
        ("%r\nx <- 1", "The sandbox does not run cells in R."),
        (
            "dbutils.notebook.run('child', 60)",
            "The path child is relative, but its caller is not",
        ),
        ("dbutils.notebook.run('/Shared/child', 'soon')", "'timeout_seconds' must be an integer"),
    ],
)
def test_notebooks_that_cannot_run(server: ServerProcess, notebook: Notebook, code: str, words: str) -> None:
    """A notebook that cannot run: the error names its path, or the missing argument."""
    put(server, "/Shared/scala", "val x = 1", "SCALA")
    results = notebook.results(code)
    assert results["resultType"] == "error"
    assert words in results["cause"]


def test_a_cancelled_command_cancels_what_it_runs(server: ServerProcess, notebook: Notebook) -> None:
    """The run of the other notebook is cancelled too, and the context stays usable."""
    put(server, "/Shared/slow", SOURCE.replace("print(1)", "import time; time.sleep(300)"))
    command = notebook.submit("dbutils.notebook.run('/Shared/slow', 0)")
    asked = {"run_type": "WORKFLOW_RUN"}
    deadline = time.monotonic() + 60
    while (
        not (runs := server.http.get(f"{JOBS}/list", params=asked).json().get("runs"))
        or runs[0]["state"]["life_cycle_state"] != "RUNNING"
    ):  # the command knows of its run by then
        assert time.monotonic() < deadline
        time.sleep(0.02)
    notebook.ask("POST", "commands/cancel", commandId=command).raise_for_status()
    assert is_cancelled(notebook.wait(command))
    asked = {"run_id": runs[0]["run_id"]}
    while (state := server.http.get(f"{JOBS}/get", params=asked).json()["state"])["life_cycle_state"] not in {
        "TERMINATED",
        "INTERNAL_ERROR",
    }:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert state["result_state"] == "CANCELED"


def test_facts_that_may_be_missing(notebook: Notebook) -> None:
    """Older code reads the context through `entry_point`; without a notebook the path is missing."""
    code = """
context = dbutils.notebook.entry_point.getDbutils().notebook().getContext()
path = context.notebookPath()
try:
    path.get()
except ValueError as error:
    refusal = str(error)
import json
tags = json.loads(context.toJson())["tags"]
print([path.isDefined(), path.getOrElse("none"), context.userName().getOrElse("none"), refusal,
       tags["userName"], "apiToken" in tags, hasattr(context, "nothing")])
"""
    me = "user@example.com"
    expected = [False, "none", me, "None.get", me, False, False]
    assert ast.literal_eval(notebook.text(code)) == expected


def test_a_pip_that_installs_nothing(notebook: Notebook) -> None:
    """`%pip` that installs nothing prints no note about a restart."""
    said = notebook.text("%pip --version")
    assert said.startswith("pip ")
    assert "restart" not in said
