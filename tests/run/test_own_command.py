"""A `run` command in the project's cli.py is the one that runs, with its options and its code."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
import pytest
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.cli.run import run
from kedro_databricks_hybrid.cli.run_options import options_of_run, project_run
from tests.both_ways import here, there
from tests.project_fixtures import PACKAGE, Project, forget_project, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

_CLI = """\
    import datetime

    import click
    from kedro.framework.cli.utils import CONTEXT_SETTINGS, _split_params, split_string
    from kedro.framework.session import KedroSession


    @click.group(context_settings=CONTEXT_SETTINGS, name=__file__)
    def cli():
        pass


    @cli.command()
    @click.option("--country", "-c", default="fr", type=click.Choice(["fr", "de"]))
    @click.option("--day", type=click.DateTime())
    @click.option("--shop", multiple=True)
    @click.option("--tags", "-t", default="", callback=split_string)
    @click.option("--params", default="", callback=_split_params)
    @click.option("--pipeline", "-p")
    @click.option("--listing", type=click.Path())
    @click.option("--timeout", default=3)
    @click.option("--ends", is_flag=True)
    @click.pass_obj
    def run(metadata, country, day, shop, tags, params, pipeline, listing, timeout, ends):
        print(metadata.package_name, country, day, shop, tags, params, pipeline, listing, timeout)
        if ends:
            raise click.exceptions.Exit(0)
        with KedroSession.create(runtime_params={**params, "country": country}) as session:
            session.run(pipeline_name=pipeline, tags=tags)
            print("ran", session.store.get("env"))


    @cli.command()
    def other():
        pass
    """


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Create a project with its own `run` command."""
    yield make_project(tmp_path / "project").write({f"src/{PACKAGE}/cli.py": _CLI})
    forget_project()


def options_of(project: Project, command: str) -> dict[str, Any]:
    """Return the options that `kedro databricks run` sends."""
    forget_project()
    metadata = bootstrap_project(project.path)
    context = run.make_context("run", shlex.split(command), obj=metadata)
    options = {
        name: value for name, value in context.params.items() if name not in {o.name for o in run.params}
    }
    return options_of_run(project_run(metadata), options, project.path)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "--country=de --day=2020-01-02 --shop=a --shop=b --params=x.y=1,z=2020-01-01 --pipeline=__default__",
        "--tags=none",
        "--ends",
    ],
)
def test_the_projects_own_run_is_what_runs(project: Project, command: str) -> None:
    """The project's command runs, with the values of its own options."""
    options = options_of(project, command)
    local, remote = here(project, command), there(project, options=options)
    assert (remote.completed, remote.out, remote.log) == (local.completed, local.out, local.log)


def test_options_that_cannot_have_their_meaning_are_named(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Warn about options with another meaning and files outside the project; send files of the project."""
    sent = options_of(project, f"--timeout=9 --listing={tmp_path}/x")
    said = capsys.readouterr().err
    assert "--timeout of the project's run has its default" in said
    assert f"--listing is {tmp_path}/x, a file of this machine" in said
    assert "timeout" not in sent
    assert options_of(project, f"--listing={project.path}/conf/x.txt")["listing"] == "conf/x.txt"
    with pytest.raises(click.UsageError, match="is not one of"):
        options_of(project, "--country=it")


def test_the_env_applies_although_the_command_has_no_such_option(project: Project) -> None:
    """`--env` works although the project's command lacks it: the env is passed as KEDRO_ENV."""
    project.write({"conf/other/": ""})
    assert "ran other\n" in there(project, options={**options_of(project, ""), "env": "other"}).out


def test_an_option_that_the_command_there_lacks_is_named(project: Project) -> None:
    """The command of the commit on Databricks lacks an option: the error names the option.

    If the project's command cannot be imported, Kedro's options are used.
    """
    ran = there(project, options={**options_of(project, ""), "colour": "red"})
    assert ran.records[-1]["error"] == "TypeError: The project's own run has no option colour."
    project.write({f"src/{PACKAGE}/cli.py": "import no_such_library\n"})
    ran = there(project)
    assert ran.completed
    assert "Kedro's own run is used, as the project's cli.py cannot be imported" in ran.log[0]
