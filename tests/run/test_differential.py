"""Random projects run the same on the sandbox and locally: output, log, order, exit status and files.

SEEDS is the number of projects, SEED the first seed: `SEED=17 SEEDS=1` repeats one that failed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.run.log import Outcome
from tests.both_ways import Ran, here, ran_there, records_in, request_of
from tests.generated_projects import generate
from tests.sandbox.notebooks import Notebook, open_notebook, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.project_fixtures import Project

pytestmark = pytest.mark.processes

_FIRST = int(os.environ.get("SEED", "0"))
_SEEDS = range(_FIRST, _FIRST + int(os.environ.get("SEEDS", "10")))
_DATA = "/dbfs/root/projects/generated/data"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the sandbox."""
    return tmp_path_factory.mktemp("differential") / "home"


@pytest.fixture(scope="module")
def process(home: Path) -> Iterator[Notebook]:
    """A Python process on the sandbox's cluster, which stays warm for all projects."""
    with serve(home) as server:
        notebook = open_notebook(server.http)
        notebook.text("%pip install --no-index kedro-databricks-hybrid kedro-datasets")
        yield notebook


def on_the_sandbox(process: Notebook, project: Project, command: str, data: Path) -> Ran:
    """Run a project in the process, with its data at the data root."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(project.path / "data", data)
    shutil.rmtree(project.path / "data")
    request = request_of(project, f"{command} --env=databricks")
    process.results(request.as_command())
    return ran_there(records_in(Path(request.data_root / request.log)))


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a data folder, without the names of versions."""
    return {
        re.sub(r"\d{4}-\d\d-\d\dT[\d.]+Z", "version", str(path.relative_to(folder))): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def seen(ran: Ran, project: Project, *, is_ordered: bool) -> list[list[str]]:
    """Return the output and the log, with the same paths for both ways.

    Lines that threads print at the same time may be mixed, so those of such runs are sorted words.
    """
    texts = (
        re.sub(
            r"\S+/site-packages/",
            "<packages>/",
            text.replace(_DATA, "<project>/data").replace(str(project.path), "<project>"),
        )
        for text in (ran.out, ran.err, "\n".join(ran.log))
    )
    return [text.splitlines() if is_ordered else sorted(text.split()) for text in texts]


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_run_there_is_a_run_here(seed: int, process: Notebook, home: Path, tmp_path: Path) -> None:
    """A random project has the same output, log and files on the sandbox as locally."""
    made = generate(Random(seed))  # noqa: S311
    here_project, there_project = made.make(tmp_path / "here"), made.make(tmp_path / "there")
    data = home / "roots/dbfs/root/projects/generated/data"
    local = here(here_project, made.command)
    remote = on_the_sandbox(process, there_project, made.command, data)
    assert remote.completed == local.completed, remote.records[-1]
    # The driver says before the first node what a local run finds out later.
    remote.log = [line for line in remote.log if not line.startswith("WARNING The input ")]
    if not local.completed and not made.is_ordered:
        return  # which nodes had ended when one failed is chance
    found = seen(remote, there_project, is_ordered=made.is_ordered)
    expected = seen(local, here_project, is_ordered=made.is_ordered)
    if not local.completed:  # the traceback at the end of stderr is in the end record there
        del expected[1][len(found[1]) :]
    assert found == expected
    assert files_in(data) == files_in(here_project.path / "data")
    assert not list(there_project.path.rglob("__pycache__"))
    outcome = Outcome()
    for record in remote.records:
        outcome.take(record)
    completed = {name for name, node in outcome.nodes.items() if node.completed}
    said = {line.split("Completed node: ")[1] for line in local.log if "Completed node: " in line}
    assert said <= completed
    assert len(completed) == len(said) or not said
