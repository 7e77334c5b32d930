"""Each kind of task, with the SDK, on real processes; Spark is in commands/test_spark.py."""

from __future__ import annotations

import ast
import base64
import html
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.errors import InvalidParameterValue, OperationFailed
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.jobs import RunLifeCycleState as Life
from databricks.sdk.service.jobs import RunResultState as Result
from databricks.sdk.service.jobs import TerminationCodeCode as Code
from databricks.sdk.service.workspace import ImportFormat, Language

from kedro_databricks_hybrid.sandbox.clusters import libraries
from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID, STOPPED_ID
from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from kedro_databricks_hybrid.sandbox.jobs import runs
from tests.sandbox.runs import (
    SCRIPT,
    TIMEOUT,
    ended,
    finished,
    notebook_task,
    output,
    put_notebook,
    put_script,
    script_task,
    state,
)
from tests.sandbox.wheels import wheel

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Remote

pytestmark = pytest.mark.processes


def set_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a variable that describes the machine, and a private one of the shell."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")


SHOW_VARIABLES = """\
import os
print([os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "AWS_SECRET_ACCESS_KEY")])
"""

IMPORT_KEDRO = """\
try:
    import kedro
except ModuleNotFoundError as error:
    print(error)
"""


def test_a_python_file(workspace: WorkspaceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python file succeeds; the task's output has the log; Kedro is not installed in its environment."""
    set_variables(monkeypatch)
    source = "import sys, os\nprint(sys.argv, __name__)\nprint(os.path.basename(__file__))\n"
    put_script(workspace, source + SHOW_VARIABLES + IMPORT_KEDRO)
    run = workspace.jobs.submit_and_wait(tasks=[script_task()], run_name="mine", timeout=TIMEOUT)
    assert state(run) == (Life.TERMINATED, Result.SUCCESS, Code.SUCCESS)
    said = output(workspace, run)
    assert (
        said.logs == f"['{SCRIPT}', '--x', 'a b'] __main__\nscript.py\n['3', None]\nNo module named 'kedro'\n"
    )
    assert (said.logs_truncated, said.error, said.notebook_output) == (False, None, None)
    assert said.metadata
    assert (said.metadata.run_name, run.run_type) == ("mine", jobs.RunType.SUBMIT_RUN)
    with pytest.raises(InvalidParameterValue, match="multiple tasks is not supported"):
        workspace.jobs.get_run_output(run.run_id or 0)


def test_a_failed_task(workspace: WorkspaceClient) -> None:
    """A failed task: the run ends with INTERNAL_ERROR and names it; its output has the traceback."""
    put_script(workspace, "print('before')\n1 / 0\n")
    submitted = workspace.jobs.submit(tasks=[script_task("only")])
    with pytest.raises(OperationFailed, match="INTERNAL_ERROR"):
        submitted.result(timeout=TIMEOUT)
    run = ended(workspace, submitted.run_id)
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.RUN_EXECUTION_ERROR)
    assert run.state
    assert run.state.state_message == (
        "Task only failed with message: Workload failed, see run output for details."
    )
    assert run.tasks
    assert state(run.tasks[0])[1] is Result.FAILED
    said = output(workspace, run)
    assert (said.logs, said.error) == ("before\n", "ZeroDivisionError: division by zero")
    assert f"File {SCRIPT}:2" in (said.error_trace or "")
    assert run.run_name == "Untitled"


@pytest.mark.parametrize(("code", "result"), [("0", Result.SUCCESS), ("3", Result.FAILED)])
def test_sys_exit(workspace: WorkspaceClient, code: str, result: Result) -> None:
    """sys.exit with status 0 is a success, with any other one a failure."""
    put_script(workspace, f"import sys\nsys.exit({code})\n")
    assert state(finished(workspace, script_task()))[1] is result


def test_a_notebook(workspace: WorkspaceClient) -> None:
    """Parameters of a notebook are widgets; its exit value is the result; it has no logs."""
    put_notebook(
        workspace,
        "dbutils.widgets.text('who', 'nobody'); dbutils.widgets.text('what', 'default')",
        "# MAGIC %md\n# MAGIC Words.",
        "import os\nsaid = [dbutils.widgets.get('who'), dbutils.widgets.get('what'), os.getcwd()]",
        "dbutils.notebook.exit(str(said))",
        "raise RuntimeError('never')",
    )
    run = finished(workspace, notebook_task())
    assert state(run) == (Life.TERMINATED, Result.SUCCESS, Code.SUCCESS)
    said = output(workspace, run)
    assert said.notebook_output
    assert said.notebook_output.result == "['you', 'default', '/Workspace/Shared']"
    assert (said.notebook_output.truncated, said.logs) == (False, None)
    (page,) = workspace.jobs.export_run(run.run_id or 0).views or []
    assert (page.type, page.name) == (jobs.ViewType.NOTEBOOK, "notebook")
    assert (page.content or "").startswith("<!DOCTYPE html>")
    assert all(
        html.escape(part) in str(page.content)
        for part in ("raise RuntimeError('never')", said.notebook_output.result)
    )


def test_a_jupyter_notebook_that_restarts_python(workspace: WorkspaceClient) -> None:
    """After restarting Python, variables are gone and parameters kept; a failure fails the run."""
    cells = ["x = 1", "dbutils.library.restartPython()", "print(dbutils.widgets.get('who'))\nx"]
    document = {
        "cells": [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    content = base64.b64encode(json.dumps(document).encode()).decode()
    workspace.workspace.import_("/Shared/notebook", content=content, format=ImportFormat.JUPYTER)
    run = finished(workspace, notebook_task())
    assert state(run)[1] is Result.FAILED
    assert output(workspace, run).error == "NameError: name 'x' is not defined"


def test_a_notebook_that_is_not_there(workspace: WorkspaceClient) -> None:
    """A missing notebook fails the run, not the request."""
    run = finished(workspace, notebook_task())
    assert state(run)[:2] == (Life.INTERNAL_ERROR, Result.FAILED)
    assert 'Unable to access the notebook "/Shared/notebook"' in (output(workspace, run).error or "")


def test_an_entry_point_of_a_wheel_on_a_new_cluster(workspace: WorkspaceClient) -> None:
    """A cluster is created for the run, installs the wheel, and is terminated with the run."""
    name, content = wheel(
        "ours", entry_point="main=ours:main", ours="import sys\ndef main(): print(sys.argv)"
    )
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content))
    task = jobs.SubmitTask(
        task_key="main",
        python_wheel_task=jobs.PythonWheelTask(
            package_name="ours", entry_point="main", named_parameters={"env": "base"}
        ),
        new_cluster=compute.ClusterSpec(spark_version=nearest_runtime(), num_workers=0),
        libraries=[compute.Library(whl=f"/Volumes/main/default/data/{name}")],
    )
    run = finished(workspace, task)
    assert output(workspace, run).logs == "['ours', '--env=base']\n"
    assert run.tasks
    assert run.tasks[0].cluster_instance
    cluster_id = run.tasks[0].cluster_instance.cluster_id
    assert cluster_id not in {None, RUNNING_ID, STOPPED_ID}
    cluster = workspace.clusters.wait_get_cluster_terminated(str(cluster_id))
    assert cluster.cluster_source is compute.ClusterSource.JOB


def test_serverless_with_dependencies(workspace: WorkspaceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A serverless task gets the dependencies of its environment, which it must name.

    Any `sys.exit` fails it. Equal dependencies are installed once; a wheel with other contents is not equal.
    """
    set_variables(monkeypatch)
    name, content = wheel("ours", ours="VALUE = 7")
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content))
    source = "import os, ours, parse\nprint(ours.VALUE, os.environ['DATABRICKS_RUNTIME_VERSION'])\n"
    left = "print('__file__' in globals())\nraise SystemExit(0)\n"
    put_script(workspace, source + SHOW_VARIABLES + IMPORT_KEDRO + left)
    dependencies = [f"/Volumes/main/default/data/{name}", "parse>=1"]
    environment = jobs.JobEnvironment(
        "default", compute.Environment(environment_version="4", dependencies=dependencies)
    )
    task = script_task(existing_cluster_id=None, environment_key="default")
    run = finished(workspace, task, environments=[environment])
    said = output(workspace, run)
    assert (said.logs, said.error) == (
        "7 client.4.0\n['3', None]\nNo module named 'kedro'\nFalse\n",
        "SystemExit: 0",
    )
    assert state(run)[1] is Result.FAILED
    installations: list[object] = []
    pip_install = libraries.pip_install

    async def counted(*arguments: Any) -> None:
        installations.append(arguments)
        await pip_install(*arguments)

    monkeypatch.setattr(libraries, "pip_install", counted)
    put_script(workspace, "import ours\nprint(ours.VALUE)")
    name, content = wheel("ours", ours="VALUE = 8")
    workspace.files.upload(f"/Volumes/main/default/data/{name}", io.BytesIO(content), overwrite=True)
    for _ in range(2):
        assert output(workspace, finished(workspace, task, environments=[environment])).logs == "8\n"
    assert len(installations) == 1
    environment.spec = compute.Environment(environment_version="4", dependencies=["/Volumes/nothing.whl"])
    run = finished(workspace, task, environments=[environment])
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.LIBRARY_INSTALLATION_ERROR)
    with pytest.raises(InvalidParameterValue, match="environment_key"):
        workspace.jobs.submit(tasks=[script_task(existing_cluster_id=None)])


def git_source(remote: Remote, **ref: Any) -> jobs.GitSource:
    """Return the git_source of a run."""
    return jobs.GitSource(f"file://{remote.bare}", jobs.GitProvider.GIT_HUB, **ref)


READ_ONLY = """\
for change in (lambda: open("new", "w"), lambda: open("run.py", "a"), lambda: os.remove("run.py")):
    try:
        change()
    except OSError:
        print("refused")
"""


@pytest.mark.parametrize("kind", ["git_branch", "git_tag", "git_commit"])
def test_code_from_git(workspace: WorkspaceClient, remote: Remote, kind: str) -> None:
    """A run with a git_source has the read-only files of a branch, tag or commit, and names the commit."""
    files = {"jobs/run.py": "import os\nprint(__file__)\nos.chdir(os.path.dirname(__file__))\n" + READ_ONLY}
    commit = remote.commit({**files, "src/package/value.py": "VALUE = 1"})
    remote.git("tag", "v1")
    remote.git("push", "-q", "origin", "v1")
    if kind != "git_branch":
        remote.commit({"jobs/run.py": "print('newer')"})
    ref = {"git_branch": "main", "git_tag": "v1", "git_commit": commit}[kind]
    source = git_source(remote, **{kind: ref})
    task = jobs.SubmitTask(
        task_key="main",
        existing_cluster_id=RUNNING_ID,
        spark_python_task=jobs.SparkPythonTask("jobs/run.py", source=jobs.Source.GIT),
    )
    run = finished(workspace, task, git_source=source)
    said = output(workspace, run).logs or ""
    place = rf"/Workspace/Repos/\.internal/[0-9a-f]{{10}}_commits/{commit}/jobs/run\.py\n"
    assert re.fullmatch(place + "refused\nrefused\nrefused\n", said), said
    assert run.git_source
    assert run.git_source.git_snapshot
    assert run.git_source.git_snapshot.used_commit == commit
    run = finished(workspace, task, git_source=git_source(remote, **{kind: "0" * 40}))
    assert state(run) == (Life.INTERNAL_ERROR, Result.FAILED, Code.REPOSITORY_CHECKOUT_FAILED)


def test_long_logs_keep_their_end(workspace: WorkspaceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long log the last bytes are kept, and the output is marked as truncated."""
    monkeypatch.setattr(runs, "MAX_OUTPUT", 100)
    put_script(workspace, "for number in range(1000): print(number)")
    said = output(workspace, finished(workspace, script_task()))
    assert said.logs_truncated
    assert len(said.logs or "") == 100
    assert (said.logs or "").endswith("998\n999\n")


def test_the_working_directory_of_a_notebook_from_git(workspace: WorkspaceClient, remote: Remote) -> None:
    """It is the notebook's folder in the checkout."""
    show = "# Databricks notebook source\nimport os\ndbutils.notebook.exit(os.getcwd())"
    commit = remote.commit({"jobs/where.py": show})
    task = jobs.SubmitTask(
        task_key="main",
        existing_cluster_id=RUNNING_ID,
        notebook_task=jobs.NotebookTask("jobs/where", source=jobs.Source.GIT),
    )
    run = finished(workspace, task, git_source=git_source(remote, git_branch="main"))
    found = output(workspace, run).notebook_output
    assert found
    assert re.fullmatch(rf"/Workspace/Repos/\.internal/[0-9a-f]+_commits/{commit}/jobs", found.result or "")


def test_notebooks_that_a_commit_lacks(workspace: WorkspaceClient, remote: Remote) -> None:
    """A notebook that the commit lacks, or whose path leads out of the repository, fails the run."""
    secret = remote.clone.with_name("secret.py")
    secret.write_text("# Databricks notebook source\nprint(1)\n")
    (remote.clone / "link.py").symlink_to(secret)
    remote.commit({"plain.py": "print(1)"})
    source = git_source(remote, git_branch="main")
    paths = ["none", "plain", "link", "../../none", "/", "a\0b", "n" * 300]
    tasks = [
        jobs.SubmitTask(str(number), notebook_task=jobs.NotebookTask(path, source=jobs.Source.GIT))
        for number, path in enumerate(paths)
    ]
    run = finished(workspace, *tasks, git_source=source)
    assert len(run.tasks or []) == len(paths)
    for task, path in zip(run.tasks or [], paths, strict=True):
        assert state(task)[2] is Code.RESOURCE_NOT_FOUND
        said = workspace.jobs.get_run_output(task.run_id or 0).error or ""
        assert said.startswith(f'Unable to access the notebook "{path}".')


def test_the_import_path_in_a_git_folder(workspace: WorkspaceClient, remote: Remote) -> None:
    """In /Repos the notebook's folder and the root come first; elsewhere the notebook's folder comes last."""
    show = "import sys\ndbutils.notebook.exit(repr([sys.path[:2], sys.path[-1], sys.path]))"
    remote.commit({"notebooks/show.py": f"# Databricks notebook source\n{show}\n"})
    tasks = []
    for parent in ("Repos", "Users"):
        path = f"/{parent}/user@example.com/project"
        workspace.repos.create(url=str(remote.bare), provider="gitHub", path=path)
        notebook = jobs.NotebookTask(f"{path}/notebooks/show")
        tasks.append(jobs.SubmitTask(parent, notebook_task=notebook, existing_cluster_id=RUNNING_ID))
    shown = []
    for task in finished(workspace, *tasks).tasks or []:
        result = workspace.jobs.get_run_output(task.run_id or 0).notebook_output
        assert result
        shown.append(ast.literal_eval(str(result.result)))
    (first, *_), (_, last, every) = shown
    assert first == [f"/Workspace/Repos/user@example.com/project{below}" for below in ("/notebooks", "")]
    assert last == "/Workspace/Users/user@example.com/project/notebooks"
    assert last.removesuffix("/notebooks") not in every


def test_notebooks_in_other_languages(workspace: WorkspaceClient) -> None:
    """SQL notebooks run; Scala and R are refused with one line; a plain file is no notebook."""
    put_notebook(workspace, "-- MAGIC %python\n-- MAGIC dbutils.notebook.exit('ran')", language=Language.SQL)
    put_notebook(workspace, "val x = 1", path="/Shared/scala", language=Language.SCALA)
    put_notebook(workspace, "x <- 1", path="/Shared/r", language=Language.R)
    put_script(workspace, "1")
    tasks = [
        jobs.SubmitTask(
            path.rpartition("/")[2].replace(".", "-"),
            notebook_task=jobs.NotebookTask(path),
            existing_cluster_id=RUNNING_ID,
        )
        for path in ("/Shared/notebook", "/Shared/scala", "/Shared/r", "/Shared/script.py")
    ]
    sql, scala, r, script = finished(workspace, *tasks).tasks or []
    assert state(sql)[1] is Result.SUCCESS
    for task, language in ((scala, "Scala"), (r, "R")):
        assert state(task)[2] is Code.RUN_EXECUTION_ERROR
        said = workspace.jobs.get_run_output(task.run_id or 0).error
        path = f"/Shared/{language.lower()}"
        assert said == f"The notebook {path} is in {language}; the sandbox runs notebooks in Python and SQL."
    assert state(script)[2] is Code.RESOURCE_NOT_FOUND
