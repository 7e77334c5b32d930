"""The tutorial on the sandbox, command by command: its output, and what it leaves on Databricks."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.docs.console import TUTORIAL, Step, perform, same, steps
from tests.e2e.commands import Shell
from tests.equal_outputs import assert_equal_values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
RUN = f"kedro databricks run --env=databricks {PROFILE}"
DATA = "/root/projects/iris-databricks/data"
FOLDER = "/Repos/user@example.com/iris-databricks"


@dataclass
class Tutorial:
    """The tutorial after all of its steps: its shell, and each step with its output."""

    iris: Shell
    performed: list[tuple[Step, list[str]]]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    """Perform the tutorial; its last step, which stops the sandbox, follows after the tests."""
    scratch = tmp_path_factory.mktemp("guide")
    shell = Shell(scratch, scratch / "home")
    done = Tutorial(shell, [])
    *before, last = steps(TUTORIAL.read_text("utf-8"))
    for step in before:
        done.performed.append((step, perform(step, shell)))
    yield done
    done.performed.append((last, perform(last, shell)))
    assert last.text == "kedro databricks sandbox stop"
    assert processes_of(shell.home) == []


@pytest.fixture(scope="module")
def iris(tutorial: Tutorial) -> Shell:
    """Return the shell of the tutorial: in its project, on the branch main, with the sandbox running."""
    return tutorial.iris


def processes_of(home: Path) -> list[str]:
    """Return the command lines of the processes that name a sandbox home."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(home) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(words)
    return found


def git_folder_commit(shell: Shell) -> str | None:
    """Return the commit of the Git folder, as Databricks reports it."""
    repo_id = shell.client().workspace.get_status(FOLDER).object_id or 0
    return shell.client().repos.get(repo_id).head_commit_id


def test_the_page_shows_what_its_commands_print(tutorial: Tutorial) -> None:
    """Each command prints what the page shows; only times, commits, sizes and the like may differ."""
    for step, printed in tutorial.performed:
        shown = "\n".join(step.shown)
        assert same(step.shown, printed), f"$ {step.text}\n{shown}\n--- printed\n" + "\n".join(printed)


def test_push_brought_the_commit_and_the_data(iris: Shell) -> None:
    """The Git folder has the local commit; DBFS has the input file and every layer folder."""
    assert git_folder_commit(iris) == iris.ok("git rev-parse HEAD").out.strip()
    layers = {entry.path for entry in iris.client().dbfs.list(DATA) if entry.is_dir}
    assert {f"{DATA}/01_raw", f"{DATA}/02_intermediate", f"{DATA}/08_reporting"} <= layers
    sent = b64decode(iris.client().dbfs.read(f"{DATA}/01_raw/iris.csv").data or "")
    assert sent == (iris.folder / "data" / "01_raw" / "iris.csv").read_bytes()


def test_the_log_appears_while_the_run_goes_on(iris: Shell) -> None:
    """Log lines appear before the run ends; the rest has accuracy, task count and table, and status 0."""
    started = iris.start(RUN)
    assert list(started.lines_until("Completed 1 out of 3 tasks"))
    assert started.process.poll() is None
    rest = started.finish()
    assert rest.status == 0, str(rest)
    assert "Model has accuracy of 1.000 on test data." in rest.out
    assert "Completed 3 out of 3 tasks" in rest.out
    table = rest.out[rest.out.index("node  ") :]
    for node in ("split", "make_predictions", "report_accuracy"):
        assert node in table
    assert "metrics" in table
    metrics = json.loads(b64decode(iris.client().dbfs.read(f"{DATA}/08_reporting/metrics.json").data or ""))
    assert metrics["accuracy"] == pytest.approx(1)


def test_a_run_leaves_the_git_folder_clean(iris: Shell) -> None:
    """A run writes no bytecode and no data into the Git folder, so the next checkout works."""
    folder = iris.home / "roots" / "Workspace" / FOLDER.strip("/")
    assert list(folder.rglob("__pycache__")) == []
    assert sorted(p.name for p in (folder / "data").rglob("*") if p.is_file() and p.suffix) == ["iris.csv"]


def test_pushing_again_changes_nothing(iris: Shell) -> None:
    """Push again without changes: no file is sent."""
    assert "is up to date (1 file)" in iris.ok(f"kedro databricks push {PROFILE}").out


def test_init_again_changes_nothing(iris: Shell) -> None:
    """Run `init` again: it writes no file."""
    again = iris.ok(f"kedro databricks init {PROFILE}")
    assert "already exists" in again.out
    assert "Wrote" not in again.out
    assert iris.ok("git status --porcelain").out == ""


def test_the_same_project_on_a_volume(iris: Shell) -> None:
    """Add an env with a volume as data root: both pipelines run there and write equal metrics."""
    root = "/Volumes/main/default/data/iris-databricks"
    settings = iris.folder / "conf" / "volume" / "databricks.yml"
    settings.parent.mkdir()
    settings.write_text(f"data: {{root: {root}}}\ncompute: {{cluster: sandbox}}\n")
    iris.ok("git add conf")
    iris.ok('git commit -q -m "Keep data on a volume"')
    iris.ok(f"kedro databricks push --env=volume {PROFILE}")
    ran = iris.ok(f"kedro databricks run --env=volume --pipelines=__default__,distributed {PROFILE}")
    assert "Completed 6 out of 6 tasks" in ran.out
    metrics = []
    for folder in ("08_reporting", "08_reporting/distributed"):
        file = iris.client().files.download(f"{root}/{folder}/metrics.json").contents
        assert file is not None
        metrics.append(json.loads(file.read()))
    assert metrics[0]["accuracy"] == pytest.approx(1)
    assert_equal_values(*metrics)
