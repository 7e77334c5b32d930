"""Every runner: log, output and node events from all of its processes, as in a local run."""

from __future__ import annotations

import multiprocessing.resource_tracker
from pathlib import Path

import pytest

from kedro_databricks_hybrid.run.log import Outcome
from tests.both_ways import Ran, here, there
from tests.project_fixtures import PACKAGE, Project, make_project

pytestmark = pytest.mark.processes

_NODES = """\
    import logging
    import subprocess

    from kedro.pipeline import node, pipeline

    log = logging.getLogger(__name__)


    def talk(raw, name):
        log.info("log of %s", name)
        print(f"print of {name}\\n", end="", flush=True)  # one write, as threads share the stream
        subprocess.run(["echo", f"child of {name}"], check=True)
        return raw


    def talk_a(raw):
        return talk(raw, "a")


    def talk_b(raw):
        return talk(raw, "b")


    def join(a, b):
        return a


    def register_pipelines():
        talks = [node(talk_a, "raw", "a"), node(talk_b, "raw", "b")]
        return {"__default__": pipeline([*talks, node(join, ["a", "b"], "doubled", name="join")])}
    """
_RUNNERS = """\
    from kedro.runner import SequentialRunner


    class Silent(SequentialRunner):
        def _run(self, pipeline, catalog, hook_manager=None, run_id=None):
            for node in pipeline.nodes:
                for name, data in node.run({name: catalog.load(name) for name in node.inputs}).items():
                    catalog.save(name, data)
    """


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Create a project with three nodes, two of which can run at the same time."""
    files = {f"src/{PACKAGE}/pipeline_registry.py": _NODES, f"src/{PACKAGE}/runners.py": _RUNNERS}
    return make_project(tmp_path_factory.mktemp("runners") / "project").write(files)


def lines(ran: Ran) -> list[str]:
    """Return all lines that a run printed, sorted, since nodes may run at the same time."""
    return sorted([*ran.log, *ran.out.splitlines()])


def nodes(ran: Ran) -> dict[str, bool | None]:
    """Return the nodes in the final table, and whether they completed."""
    outcome = Outcome()
    for record in ran.records:
        outcome.take(record)
    return {name: node.completed for name, node in outcome.nodes.items()}


@pytest.mark.parametrize(
    "runner", ["SequentialRunner", "ThreadRunner", "ParallelRunner", "tiny_shop.runners.Silent"]
)
def test_a_runner_shows_what_it_shows_here(project: Project, runner: str) -> None:
    """Output of the runner's processes and threads equals a local run; the table has all nodes."""
    local, remote = here(project, f"--runner={runner}"), there(project, f"--runner={runner}")
    assert lines(remote) == lines(local)
    assert set(nodes(remote).values()) == {True}
    assert len(nodes(remote)) == 3


def test_processes_that_are_not_forked(project: Project) -> None:
    """Spawned processes run without the driver: their log arrives as text, and the table has all nodes."""
    try:
        ran = there(project, "--runner=ParallelRunner", variables={"KEDRO_MP_CONTEXT": "spawn"})
    finally:
        multiprocessing.resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]  # noqa: SLF001
    assert ran.completed
    assert "child of a" in ran.out
    assert len(nodes(ran)) == 3
    assert set(nodes(ran).values()) == {True}


def test_a_node_that_fails_in_another_process(project: Project, tmp_path: Path) -> None:
    """A node fails in a child process: the error has its traceback and names the node."""
    failing = make_project(tmp_path / "project").write(
        {f"src/{PACKAGE}/pipeline_registry.py": _NODES.replace("return a\n", "raise ValueError('not now')\n")}
    )
    ran = there(failing, "--runner=ParallelRunner")
    assert not ran.completed
    assert "ValueError: not now" in ran.records[-1]["error"]
    assert [name for name, completed in nodes(ran).items() if completed is False] == ["join"]
