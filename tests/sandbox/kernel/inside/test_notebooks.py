"""Notebooks run other notebooks, log in, and see only their user's files."""

from __future__ import annotations

import ast
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from databricks.sdk.service import compute, jobs
from databricks.sdk.service.jobs import RunResultState as Result

from kedro_databricks_hybrid.sandbox.core.runtimes import nearest_runtime
from tests.sandbox.notebooks import open_notebook
from tests.sandbox.runs import TIMEOUT, ended, finished, notebook_task, output, put_notebook, state

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from tests.sandbox.conftest import Running

pytestmark = pytest.mark.processes


def test_a_notebook_runs_others(workspace: WorkspaceClient) -> None:
    """A notebook runs others by relative path: in its process, or in a new one with value or error."""
    put_notebook(workspace, "NAME = 'included ' + dbutils.widgets.get('given')", path="/Shared/parts")
    put_notebook(workspace, '# MAGIC %run ./parts $given="twice"', path="/Shared/include")
    child = "dbutils.notebook.exit(dbutils.widgets.get('x') + dbutils.widgets.get('y'))"
    put_notebook(workspace, "dbutils.widgets.text('y', '?')", child, path="/Shared/child")
    put_notebook(workspace, "1 / 0", path="/Shared/fails")
    put_notebook(
        workspace,
        "# MAGIC %run ./include",
        "said = [NAME, dbutils.notebook.run('child', 60, {'x': '1'})]",
        "for path in ('./fails', '/Shared/nothing'):\n"
        "    try:\n        dbutils.notebook.run(path, 0)\n"
        "    except Exception as error:\n        said.append(f'{type(error).__name__} {error}')",
        "dbutils.notebook.exit(repr(said))",
    )
    run = finished(workspace, notebook_task())
    assert state(run)[1] is Result.SUCCESS, output(workspace, run).error_trace
    found = output(workspace, run).notebook_output
    assert found
    included, value, failed, missing = ast.literal_eval(str(found.result))
    assert (included, value) == ("included twice", "1?")
    assert failed.startswith("WorkflowException com.databricks.WorkflowException")
    assert "FAILED: ZeroDivisionError: division by zero" in failed
    assert 'Unable to access the notebook "/Shared/nothing"' in missing
    kinds = [one.run_type for one in workspace.jobs.list_runs()]
    assert kinds == [jobs.RunType.WORKFLOW_RUN] * 3 + [jobs.RunType.SUBMIT_RUN]


def test_a_cancelled_notebook_takes_those_it_runs_along(workspace: WorkspaceClient) -> None:
    """Cancelling a notebook cancels the run of the notebook that it runs."""
    put_notebook(workspace, "import time; time.sleep(300)", path="/Shared/child")
    put_notebook(workspace, "dbutils.notebook.run('./child', 0)")
    run_id = workspace.jobs.submit(tasks=[notebook_task()]).run_id
    deadline = time.monotonic() + TIMEOUT.seconds
    while not (children := list(workspace.jobs.list_runs(run_type=jobs.RunType.WORKFLOW_RUN))):
        assert time.monotonic() < deadline
    workspace.jobs.cancel_run(run_id)
    assert state(ended(workspace, run_id))[1] is Result.CANCELED
    assert children[0].run_id
    assert state(ended(workspace, children[0].run_id))[1] is Result.CANCELED


def test_a_notebook_logs_in_as_its_user(running: Running) -> None:
    """In a notebook the SDK logs in without settings, as its user; the token ends with the notebook."""
    notebook = open_notebook(running.http("other@example.com"))
    code = "from databricks.sdk import WorkspaceClient\nprint(WorkspaceClient().current_user.me().user_name)"
    assert notebook.text(code) == "other@example.com"
    code = """
context = dbutils.notebook.entry_point.getDbutils().notebook().getContext()
from dbruntime.databricks_repl_context import get_context
print(context.apiUrl().get(), context.clusterId().get() == get_context().clusterId, context.apiToken().get())
"""
    url, same, token = notebook.text(code).split()
    assert (url, same) == (running.url, "True")
    me = "/api/2.0/preview/scim/v2/Me"
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(running.url + me, headers=headers).json()["userName"] == "other@example.com"
    notebook.ask("POST", "contexts/destroy").raise_for_status()
    assert httpx.get(running.url + me, headers=headers).status_code == 403


def test_a_notebook_sees_its_users_files_alone(running: Running) -> None:
    """Homes of other users and the sandbox's files are hidden; shared folders are visible."""
    other = running.workspace("other@example.com")
    other.workspace.mkdirs("/Users/other@example.com/theirs")
    other.workspace.mkdirs("/Shared/all")
    other.workspace.mkdirs("/Repos/team")
    notebook = open_notebook(running.http())
    home = str(running.sandbox.layout.home)
    code = f"""
import os
def seen(path):
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return type(error).__name__
folders = ("Users", "Repos", "Users/other@example.com", "Repos/other@example.com", "Shared")
print([*(seen("/Workspace/" + folder) for folder in folders), seen({home!r})])
"""
    *seen, shared, own = ast.literal_eval(notebook.text(code))
    me = "user@example.com"
    assert seen == [[me], ["team", me], "FileNotFoundError", "FileNotFoundError"]
    assert own == ["kernels"]
    assert shared == ["all"]
    notebook.text("os.mkdir('/Workspace/Users/user@example.com/mine')")
    assert "OSError" in notebook.results("os.mkdir('/Workspace/Users/other@example.com')")["summary"]
    mine = running.workspace().workspace.get_status("/Users/user@example.com/mine")
    assert mine.path == "/Users/user@example.com/mine"


@pytest.mark.parametrize("mode", [compute.DataSecurityMode.USER_ISOLATION, None])
def test_dbfs_by_access_mode(running: Running, mode: compute.DataSecurityMode | None) -> None:
    """/dbfs and mounts are refused on standard access mode, and everywhere if the DBFS root is disabled."""
    workspace = running.workspace()
    running.sandbox.public_dbfs_root = mode is not None
    made = workspace.clusters.create(spark_version=nearest_runtime(), data_security_mode=mode).result()
    notebook = open_notebook(running.http(), str(made.cluster_id))
    uses = ("open('/dbfs/a')", "open('/dbfs/a', 'w')", "os.makedirs('/dbfs/a/b')", "os.listdir('/dbfs')")
    code = f"""
import errno, os
from pathlib import Path
for use in {uses}:
    try:
        eval(use)
    except OSError as error:
        print(error.errno == errno.EOPNOTSUPP, error)
os.environ["DATA"] = "/dbfs/a"
print(os.path.exists("/dbfs/a"), Path("/dbfs/a").exists())
"""
    refused = "True [Errno 95] Operation not supported: '/dbfs{}'"
    said = [refused.format(path) for path in ("/a", "/a", "/a", "")]
    assert notebook.text(code).splitlines() == [*said, "False False"]
    written = notebook.text("import subprocess; subprocess.run('touch /dbfs/a', shell=True).returncode")
    assert written != "0"
    written = notebook.results("dbutils.fs.put('dbfs:/a', 'text')")["resultType"]
    assert written == ("error" if mode is None else "text")
    assert (running.sandbox.layout.dbfs / "a").exists() == (mode is not None)
    refusal = notebook.results("dbutils.fs.mount('s3a://bucket', '/mnt/bucket')")["summary"]
    assert "com.databricks.backend.daemon.dbutils.DBUtilsCore.mount() is not whitelisted" in refusal
