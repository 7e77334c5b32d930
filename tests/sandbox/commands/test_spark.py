"""Spark in execution contexts, and the notebook of Kedro's guide; one server and one Spark for all."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.run.request import RunRequest
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from kedro_databricks_hybrid.sandbox.kernel.results import plain
from tests.project_fixtures import PACKAGE, make_project
from tests.sandbox.notebooks import Notebook, ServerProcess, is_cancelled, is_gone, open_notebook, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

_USER = "user@example.com"
_USES_A_FUNCTION = """
    from kedro.pipeline import node, pipeline
    from tiny_shop.own import number


    def use():
        from pyspark.sql import SparkSession, functions

        spark = SparkSession.builder.getOrCreate()
        column = functions.udf(number, "int")("id").alias("number")
        print("number is", spark.range(1).select(column).first().number)
        return 1


    def register_pipelines():
        return {"__default__": pipeline([node(use, None, "used")])}
    """


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Return a server in a separate process."""
    with serve(tmp_path_factory.mktemp("spark") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def notebook(server: ServerProcess) -> Notebook:
    """Return a context in which code has created a session before the first use of `spark`."""
    opened = open_notebook(server.http)
    opened.text("from pyspark.sql import SparkSession; mine = SparkSession.builder.getOrCreate()")
    return opened


def _put(server: ServerProcess, path: str, content: bytes) -> None:
    fields = {"path": path, "contents": base64.b64encode(content).decode(), "overwrite": True}
    server.http.post("/api/2.0/dbfs/put", json=fields).raise_for_status()


def test_a_module_starts_spark(server: ServerProcess) -> None:
    """A module that imports `spark` from `databricks.sdk.runtime` starts it by the first use."""
    source = """
from databricks.sdk.runtime import dbutils, spark, sql, table, udf
def used():
    from pyspark.sql import SparkSession
    rows = sql("select 1 as one")
    rows.createOrReplaceTempView("ones")
    return [isinstance(spark, SparkSession), rows.count(), table("ones").columns, spark.range(2).count()]
"""
    notebook = open_notebook(server.http)
    notebook.text(f"open('mine.py', 'w').write({source!r}); import sys; sys.path.insert(0, '.'); import mine")
    assert notebook.text("'SparkSession' in str(mine.__dict__)") == "False"
    assert notebook.text("mine.used()") == "[True, 1, ['one'], 2]"


def test_dbfs_paths_mean_the_same_everywhere(server: ServerProcess, notebook: Notebook) -> None:
    """Spark reads files of the REST API with and without `dbfs:`; /dbfs and REST see Spark's files."""
    _put(server, "/in/a.csv", b"x,y\n1,2\n3,4\n")
    assert notebook.text("spark.read.csv('dbfs:/in/a.csv', header=True).count()") == "2"
    assert notebook.text("spark.read.csv('/in/*.csv', header=True).columns") == "['x', 'y']"
    notebook.text("spark.range(10).write.mode('overwrite').parquet('dbfs:/out/p')")
    assert notebook.text("import os; '_SUCCESS' in os.listdir('/dbfs/out/p')") == "True"
    listed = server.http.get("/api/2.0/dbfs/list", params={"path": "/out/p"}).json()["files"]
    assert any(file["path"].endswith(".parquet") for file in listed)


def test_volumes_and_workspace_are_not_dbfs(notebook: Notebook) -> None:
    """/Volumes and /Workspace mean the same to Spark, with and without a scheme, and to Python."""
    notebook.text("spark.range(3).write.mode('overwrite').csv('/Volumes/main/default/v')")
    for path in ("/Volumes/main/default/v", "dbfs:/Volumes/main/default/v", "file:/Volumes/main/default/v"):
        assert notebook.text(f"spark.read.csv('{path}').count()") == "3"
    assert notebook.text("import os; '_SUCCESS' in os.listdir('/Volumes/main/default/v')") == "True"
    assert notebook.text("os.path.exists('/dbfs/Volumes')") == "False"
    notebook.text(f"open('/Workspace/Users/{_USER}/r.csv', 'w').write('1')")
    assert notebook.text(f"spark.read.csv('file:/Workspace/Users/{_USER}/r.csv').count()") == "1"


def test_any_session_is_this_one(notebook: Notebook) -> None:
    """A session that code creates first is the notebook's session, with the same settings."""
    assert notebook.text("mine is spark, sc is spark.sparkContext, sc.master") == "(True, True, 'local[2]')"
    assert notebook.text("spark.conf.get('spark.python.worker.reuse')") == "'false'"
    assert notebook.text("spark.sql('select current_user()').first()[0]") == f"{_USER!r}"
    assert notebook.text("sc.uiWebUrl is None") == "True"


def test_the_machine_chooses_its_java(notebook: Notebook) -> None:
    """The Java virtual machine gets SPARK_SUBMIT_OPTS from the shell that started the sandbox."""
    code = "list(sc._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())"
    assert os.environ["SPARK_SUBMIT_OPTS"].split()[0] in notebook.text(code)


def test_modules_get_the_notebooks_names(notebook: Notebook) -> None:
    """`databricks.sdk.runtime` gives modules the same Spark and the same dbutils."""
    code = "from databricks.sdk import runtime; runtime.spark is spark, runtime.dbutils is dbutils"
    assert notebook.text(code) == "(True, True)"


def test_python_functions_run_in_workers(notebook: Notebook) -> None:
    """UDFs run with the notebook's interpreter and packages."""
    code = (
        "from pyspark.sql.functions import udf\n"
        "@udf('string')\n"
        "def interpreter(x):\n"
        "    import sys, pandas\n"
        "    return sys.executable\n"
        "import sys; spark.range(1).select(interpreter('id')).first()[0] == sys.executable"
    )
    assert notebook.text(code) == "True"


def test_a_displayed_data_frame_is_a_table(notebook: Notebook) -> None:
    """`display` and `%sql` return Spark's schema and rows."""
    results = notebook.results("%sql select 1 as one, 'x' as two")
    assert results["schema"] == [
        {"name": "one", "type": '"integer"', "metadata": "{}"},
        {"name": "two", "type": '"string"', "metadata": "{}"},
    ]
    assert results["data"] == [[1, "x"]]
    assert notebook.results("display(spark.range(2))")["data"] == [[0], [1]]


def test_a_notebook_in_sql(server: ServerProcess, notebook: Notebook) -> None:
    """Cells of an SQL notebook run as SQL, with several statements, or in the language that they name."""
    cells = [
        "-- a view; with a semicolon in this comment\ncreate or replace temp view v as select ';' as x;\n",
        "-- MAGIC %python\n-- MAGIC first = spark.table('v').first()[0]",
        "select 1;\nselect x, 2 as y from v /* ; */",
    ]
    source = "-- Databricks notebook source\n" + "\n\n-- COMMAND ----------\n\n".join(cells)
    address = "/api/2.0/workspace-files/import-file/Shared/query.sql"
    server.http.post(address, content=source).raise_for_status()
    assert notebook.results("%run /Shared/query")["data"] == [[";", 2]]
    assert notebook.text("first, _sqldf.columns") == "(';', ['x', 'y'])"


def test_tables_are_kept_in_the_context(notebook: Notebook) -> None:
    """A managed table can be written and read."""
    notebook.text("spark.range(4).write.mode('overwrite').saveAsTable('four')")
    assert notebook.text("spark.table('four').count()") == "4"


def test_cancelling_ends_the_spark_job(notebook: Notebook, tmp_path: Path) -> None:
    """A cancelled command leaves no job running, and Spark answers afterwards."""
    started = tmp_path / "started"
    code = f"""
def wait(x):
    import pathlib, time
    pathlib.Path({str(started)!r}).touch()
    time.sleep(600)
sc.parallelize(range(2), 2).map(wait).count()
"""
    running = notebook.submit(code)
    deadline = time.monotonic() + 120
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notebook.ask("POST", "commands/cancel", commandId=running).raise_for_status()
    assert is_cancelled(notebook.wait(running))
    assert notebook.text("spark.range(7).count()") == "7"
    while notebook.text("sc.statusTracker().getActiveJobsIds()") != "[]":  # Spark tells it later
        assert time.monotonic() < deadline


def test_the_guides_notebook_runs(server: ServerProcess, tmp_path: Path) -> None:
    """The four cells of Kedro's Databricks guide, on the starter in a Git folder, with data on DBFS."""
    folder = _git_folder_of_the_starter(server, tmp_path)
    notebook = open_notebook(server.http)  # its own: kedro.ipython changes how values are shown
    said = notebook.text(f'%pip install --no-index -r "{folder}/requirements.txt"')
    assert "Requirement already satisfied: numpy" in said
    assert " kedro-databricks-hybrid-" in said.partition("Successfully installed ")[2]
    assert notebook.results("%load_ext kedro.ipython")["resultType"] == "text"
    assert notebook.results(f"%reload_kedro {folder} --env=databricks")["resultType"] == "text"
    log = " ".join(plain(notebook.text("session.run()")).split())
    assert "Model has accuracy of 0.960 on test data." in log
    assert "Pipeline execution completed successfully" in log
    listed = server.http.get("/api/2.0/dbfs/list", params={"path": "/root/projects/iris-databricks/data"})
    assert len(listed.json()["files"]) > 1, "nothing was written beside 01_raw"


def _git_folder_of_the_starter(server: ServerProcess, scratch: Path) -> str:
    """Make the project, push it, clone it into a Git folder and put its data on DBFS."""
    kedro = [sys.executable, "-m", "kedro", "new", "--starter=pyspark-iris", "--name=iris-databricks"]
    project, bare = scratch / "iris-databricks", scratch / "remote.git"
    subprocess.run(kedro, cwd=scratch, check=True, capture_output=True)
    with (project / "conf" / "databricks" / "databricks.yml").open("a") as settings:
        settings.write("  root: dbfs:/root/projects/{project}/data\n")  # as `kedro databricks init` does
    for command in (
        ["git", "init", "-q", "--bare", "-b", "main", str(bare)],
        ["git", "init", "-q", "-b", "main"],
        ["git", "add", "."],
        ["git", "-c", "user.name=Test", "-c", "user.email=t@example.com", "commit", "-q", "-m", "First"],
        ["git", "push", "-q", str(bare), "main"],
    ):
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    folder = f"/Workspace/Repos/{_USER}/iris-databricks"
    fields = {"url": str(bare), "provider": "gitHub", "path": folder.removeprefix("/Workspace")}
    server.http.post("/api/2.0/repos", json=fields).raise_for_status()
    content = (project / "data" / "01_raw" / "iris.csv").read_bytes()
    _put(server, "/root/projects/iris-databricks/data/01_raw/iris.csv", content)
    return folder


def test_spark_ends_with_a_killed_server(tmp_path: Path) -> None:
    """After SIGKILL of a server, the JVM ends with the kernel."""
    with serve(tmp_path / "home") as server:
        notebook = open_notebook(server.http)
        java = int(notebook.text("print(spark.sparkContext._gateway.proc.pid)"))
        kernel = int(notebook.text("import os; print(os.getpid())"))
        assert not is_gone(java, seconds=0.1)
        server.process.send_signal(signal.SIGKILL)
        assert is_gone(kernel)
        assert is_gone(java)


def test_a_job_has_spark(server: ServerProcess) -> None:
    """A Python file that uses `spark` finds it started; the session ends with the run."""
    source = "print(spark.range(3).count())\nimport os; print(os.getpid())"
    fields = {"path": "/job.py", "contents": base64.b64encode(source.encode()).decode()}
    server.http.post("/api/2.0/dbfs/put", json=fields).raise_for_status()
    task = {
        "task_key": "main",
        "existing_cluster_id": RUNNING_ID,
        "spark_python_task": {"python_file": "dbfs:/job.py"},
    }
    submitted = server.http.post("/api/2.2/jobs/runs/submit", json={"tasks": [task]}).json()
    deadline = time.monotonic() + 90
    while True:
        run = server.http.get("/api/2.2/jobs/runs/get", params=submitted).json()
        if run["status"]["state"] == "TERMINATED":
            break
        assert time.monotonic() < deadline, run
        time.sleep(0.1)
    asked = {"run_id": run["tasks"][0]["run_id"]}
    output = server.http.get("/api/2.2/jobs/runs/get-output", params=asked).json()
    assert "error" not in output, output
    count, process = output["logs"].split()
    assert count == "3"
    assert is_gone(int(process))


def test_functions_in_spark_run_the_current_code(server: ServerProcess, tmp_path: Path) -> None:
    """Spark's Python processes outlive a run, and a run of another commit must not find its old modules."""
    project = make_project(tmp_path / "project").write(
        {f"src/{PACKAGE}/pipeline_registry.py": _USES_A_FUNCTION}
    )
    notebook = open_notebook(server.http)  # its own: Spark's processes see the packages of its first use
    notebook.text("%pip install --no-index kedro-databricks-hybrid")
    found = []
    for number in ("1", "2"):
        project.write({f"src/{PACKAGE}/own.py": f"def number(_):\n    return {number}\n"})
        request = RunRequest(
            run_id=number,
            project_path=PurePosixPath(project.path),
            package_name=PACKAGE,
            data_root=PurePosixPath(tmp_path / "root"),
            options={},
            user=_USER,
            info={"commit": number},
        )
        notebook.text(request.as_command())
        log = "".join(each.read_text("utf-8") for each in (tmp_path / "root" / request.log).glob("*.jsonl"))
        found.append(re.findall(r"number is (\d)", log) or log)
    assert found == [["1"], ["2"]]
