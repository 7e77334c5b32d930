"""Every option of `kedro run`, on the cluster and locally: the same nodes run with the same inputs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.cli.run import run
from kedro_databricks_hybrid.run.local_state import STATE_VARIABLE
from tests.e2e import traced_project
from tests.e2e.test_run import PROFILE, PUSH
from tests.project_fixtures import forget_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

OPTIONS = {
    "from_inputs": "--from-inputs=two",
    "to_outputs": "--to-outputs=one",
    "from_nodes": "--from-nodes=inner.third",
    "to_nodes": "--to-nodes=second",
    "node_names": "--nodes=first,second",
    "runner": "--runner=ThreadRunner",
    "is_async": "--async",
    "runner_params": "--runner=ThreadRunner --runner-params=max_workers=1",
    "env": "--env=special",
    "tags": "--tags=early,late",
    "load_versions": f"--pipelines=past --load-versions=history:{traced_project.OLD_VERSION}",
    "pipeline": "--pipeline=counting",
    "pipelines": "--pipelines=counting,past",
    "namespaces": "--namespaces=inner",
    "config": "--config=run.yml",
    "conf_source": "--conf-source=conf2",
    "params": "--params=counting.scale=3,counting.more=0.5,flag=true,nothing=none,word=abc",
    "only_missing_outputs": "--only-missing-outputs",
}


@pytest.mark.filterwarnings("ignore")  # Kedro deprecates two of its options
def test_every_option_means_what_it_means_to_kedro_run(
    tiny: Callable[[str], Shell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option gives equal traces on the cluster and locally; all but runner options change the trace."""
    assert {option.name for option in kedro_run.params} == set(OPTIONS)
    shell = tiny("options")
    traced_project.write(shell.folder)
    shell.ok("git add .")
    shell.ok("git commit -q -m Traced")
    shell.ok(f"{PUSH} --all-data")
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("KEDRO_DATABRICKS_SANDBOX_HOME", str(shell.home))
    monkeypatch.setenv(STATE_VARIABLE, str(shell.home.parent / "state"))
    plain = compared(shell.folder, "")
    assert len(plain) == 5
    for arguments in OPTIONS.values():
        assert compared(shell.folder, arguments) != plain or "runner" in arguments, arguments


def compared(project: Path, arguments: str) -> list[str]:
    """Run with these options locally and on the cluster, check that the traces are equal, and return them."""
    here = traces(kedro_run, project, arguments.replace("--env=special", "--env=special-here").split())
    there = traces(run, project, [*arguments.split(), PROFILE])
    assert there == here, arguments
    return here


def traces(command: click.Command, project: Path, arguments: list[str]) -> list[str]:
    """Run a command in this process and return the project's trace lines, sorted by node."""
    forget_project()
    metadata = bootstrap_project(project)
    before = dict(os.environ)
    result = CliRunner().invoke(command, arguments, obj=metadata)
    os.environ.clear()
    os.environ.update(before)
    assert result.exit_code == 0, f"{arguments}: {result.output}{result.exception!r}"
    found = [line.partition("TRACE ")[2] for line in result.output.splitlines() if "TRACE {" in line]
    return sorted(found, key=lambda line: (json.loads(line).get("node", ""), line))
