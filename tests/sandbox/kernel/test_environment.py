"""What code in a context sees: paths, variables, packages, dbutils and magics; on real kernels."""

from __future__ import annotations

import base64
import html
import os
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.sandbox.clusters.model import RUNNING_ID
from tests.e2e import package_index
from tests.sandbox.notebooks import Notebook, is_gone, open_notebook
from tests.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk import WorkspaceClient

pytestmark = pytest.mark.processes


def test_the_three_trees_are_at_their_paths(notebook: Notebook, workspace: WorkspaceClient) -> None:
    """Commands and the REST API read each other's files."""
    home = f"/Workspace/Users/{workspace.current_user.me().user_name}"
    notebook.text(f"open('{home}/a.txt', 'w').write('workspace')")
    notebook.text("open('/dbfs/b.txt', 'w').write('dbfs')")
    assert workspace.workspace.get_status(f"{home}/a.txt").path
    assert base64.b64decode(workspace.dbfs.read("/b.txt").data or "") == b"dbfs"
    workspace.dbfs.put("/c/d.txt", contents=base64.b64encode(b"up").decode())
    assert notebook.text("open('/dbfs/c/d.txt').read()") == "'up'"
    with notebook.http.stream(
        "PUT", "/api/2.0/fs/files/Volumes/main/default/data/e.txt", content=b"x"
    ) as put:
        assert put.status_code in {200, 204}, put.read()
    assert notebook.text("open('/Volumes/main/default/data/e.txt').read()") == "'x'"


def test_the_environment_is_a_clusters(
    monkeypatch: pytest.MonkeyPatch, start_sandbox: Callable[..., Any]
) -> None:
    """Databricks' variables and the machine's are set; other variables of the shell are not."""
    machine = {"OPENBLAS_NUM_THREADS": "3", "SSL_CERT_DIR": "/certificates", "ftp_proxy": "http://proxy"}
    for name, value in {**machine, "no_proxy": "near.example.com"}.items():
        monkeypatch.setenv(name, value)
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "AWS_SECRET_ACCESS_KEY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "mine")
    running = start_sandbox()
    notebook = open_notebook(running.http())
    environment: dict[str, str] = eval(notebook.text("import os; dict(os.environ)"))  # noqa: S307
    assert "mine" not in environment.values()
    assert {name: environment.get(name) for name in machine} == machine
    assert environment["no_proxy"] == environment["NO_PROXY"]
    assert {"near.example.com", "127.0.0.1"} <= set(environment["no_proxy"].split(","))
    version = running.sandbox.clusters.get(RUNNING_ID).runtime_version
    assert environment["DATABRICKS_RUNTIME_VERSION"] == version
    assert environment["SPARK_USER"] == running.sandbox.user.name
    assert environment["HOME"] != os.environ["HOME"]
    assert notebook.text("import os; os.getcwd()") == "'/databricks/driver'"
    assert notebook.text("import sys; sys.executable == os.environ['PYSPARK_PYTHON']") == "True"


def test_installed_packages_belong_to_the_notebook(notebook: Notebook, tmp_path: Path, running: Any) -> None:
    """`%pip install` affects only this context, not the sandbox's environment."""
    _write_wheel(running.sandbox.layout.workspace / "Shared" / "tiny_thing-1.0-py3-none-any.whl")
    said = notebook.text("%pip install --no-index /Workspace/Shared/tiny_thing-1.0-py3-none-any.whl")
    assert "Successfully installed tiny-thing-1.0" in said
    assert "restart the kernel" in said
    assert notebook.text("import tiny_thing; tiny_thing.VALUE") == "7"
    assert "ModuleNotFoundError" in open_notebook(notebook.http).results("import tiny_thing")["summary"]
    with pytest.raises(ModuleNotFoundError):
        __import__("tiny_thing")


def _write_wheel(path: Path) -> None:
    facts = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_thing.py", "VALUE = 7\n")
        wheel.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")


def test_packages_of_this_machine_are_linked(notebook: Notebook) -> None:
    """Packages of this machine are linked with their requirements, without a network, and can be removed."""
    for name in ("kedro", "kedro_datasets", "kedro_databricks_hybrid", "omegaconf"):
        assert is_missing(notebook, name), "no runtime brings it"
    said = notebook.text("%pip install --no-index kedro-databricks-hybrid 'kedro>=1' ipython")
    assert "Requirement already satisfied: ipython in /databricks/python/" in said
    (done,) = [line for line in said.splitlines() if line.startswith("Successfully installed ")]
    for name in ("kedro", "kedro-databricks-hybrid", "omegaconf"):
        assert f" {name}-{version(name)}" in done
    assert " numpy-" not in done
    assert notebook.text("import kedro_databricks_hybrid.config_loader, kedro; kedro.__version__")
    where = notebook.text("import sys; kedro.__file__.startswith(sys.prefix)")
    assert where == "True"
    assert notebook.text("%sh which kedro").startswith("/local_disk0/.ephemeral_nfs/envs/")
    assert "kedro, version" in notebook.text("%sh kedro --version")
    satisfied = notebook.text("%pip install --no-index kedro")
    assert "Requirement already satisfied: kedro in /local_disk0/" in satisfied
    assert "Successfully uninstalled kedro-" in notebook.text("%pip uninstall --yes kedro")
    assert find_spec("kedro.framework"), "the files of this machine are still there"
    assert notebook.text("dbutils.library.restartPython()") == ""
    assert is_missing(notebook, "kedro")


def is_missing(notebook: Notebook, module: str) -> bool:
    """Return whether an import fails because the module does not exist."""
    summary: str = notebook.results(f"import {module}").get("summary", "")
    return "ModuleNotFoundError" in summary and f"No module named '{module}'" in html.unescape(summary)


def test_what_this_machine_lacks_goes_to_pip(notebook: Notebook, tmp_path: Path) -> None:
    """Pip fetches another version from the index; nothing is linked if it fails."""
    write_wheel(tmp_path / "kdh-probe", "kdh-probe", "2.0")
    (tmp_path / "requirements.txt").write_text("kdh-probe==2.0\nparse>=1\n")
    with package_index.served(tmp_path, "reader", "p") as host:
        for command in ("%pip", "%sh python -m pip"):
            install = f"{command} install --no-input -r {tmp_path}/requirements.txt"
            assert notebook.results(f"{install} --no-index")["resultType"] == "error"
            assert is_missing(notebook, "parse")
            said = notebook.text(f"{install} --index-url http://reader:p@{host}/")
            assert "Successfully installed kdh-probe-2.0" in said.replace("_", "-")
            assert f"Successfully installed parse-{version('parse')}" in said
            assert notebook.text("%sh python -c 'import kdh_probe, parse'") == ""
            notebook.text("%sh pip uninstall --yes kdh-probe parse")


def test_programs_use_the_notebooks_environment(notebook: Notebook, running: Any) -> None:
    """`pip` in a shell uses the notebook's environment, not the sandbox's."""
    _write_wheel(running.sandbox.layout.workspace / "Shared" / "tiny_thing-1.0-py3-none-any.whl")
    notebook.text("%sh pip install --no-index /Workspace/Shared/tiny_thing-1.0-py3-none-any.whl")
    where = notebook.text("import sys, tiny_thing; tiny_thing.__file__.startswith(sys.prefix)")
    assert where == "True"


def test_modules_find_dbutils(notebook: Notebook) -> None:
    """Modules import `dbutils` in each way that works on Databricks."""
    notebook.text("dbutils.widgets.text('size', '3')")
    code = "from pyspark.dbutils import DBUtils; DBUtils(None).widgets.get('size')"
    assert notebook.text(code) == "'3'"


def test_a_failed_install_is_an_error(notebook: Notebook) -> None:
    """`%pip` raises, as on Databricks and unlike in IPython."""
    results = notebook.results("%pip install --no-index no-such-thing-anywhere")
    assert "CalledProcessError" in results["summary"]
    assert "pip install --no-index no-such-thing-anywhere" in results["summary"]


def test_a_new_python_keeps_packages_and_drops_names(notebook: Notebook, running: Any) -> None:
    """After `dbutils.library.restartPython()` the context runs on without its variables."""
    _write_wheel(running.sandbox.layout.workspace / "Shared" / "tiny_thing-1.0-py3-none-any.whl")
    notebook.text("%pip install --no-index /Workspace/Shared/tiny_thing-1.0-py3-none-any.whl")
    old = int(notebook.text("x = 1; import os; os.getpid()"))
    assert notebook.text("dbutils.library.restartPython(); y = 1") == ""
    assert is_gone(old)
    assert notebook.text("import tiny_thing; {'x', 'y'} & get_ipython().user_ns.keys()") == "set()"


def test_leaving_the_notebook_is_success(notebook: Notebook) -> None:
    """`dbutils.notebook.exit` ends the cell with only its value, which the SDK's dbutils parses as JSON."""
    code = "print('before'); dbutils.notebook.exit('{\"a\": 1}'); print('not reached')"
    assert notebook.text(code) == '{"a": 1}'


def test_dbutils_sees_the_same_files(notebook: Notebook) -> None:
    """`dbutils.fs` treats `dbfs:/x` and `/x` as the same path, and volumes as another tree."""
    notebook.text("dbutils.fs.put('dbfs:/a/b.txt', 'hello'); dbutils.fs.cp('/a/b.txt', 'dbfs:/c.txt')")
    assert notebook.text("print(dbutils.fs.head('/c.txt'), open('/dbfs/a/b.txt').read())") == "hello hello"
    assert notebook.text("[f.path for f in dbutils.fs.ls('/a')]") == "['dbfs:/a/b.txt']"
    assert notebook.text("dbutils.fs.rm('/a', True), dbutils.fs.rm('/a')") == "(True, False)"
    assert "FileNotFoundError" in notebook.results("dbutils.fs.ls('/a')")["summary"]


def test_a_whole_cell_may_be_a_magic(notebook: Notebook) -> None:
    """`%sh` and `%fs` at the beginning of a cell apply to the whole cell."""
    assert notebook.text("%sh\nfor i in 1 2\ndo echo $i\ndone") == "1\n2"
    assert "path='dbfs:/FileStore/'" in notebook.text("%fs ls /")
    assert notebook.text("%md\n# A heading") == ""
    assert "exit status 3" in notebook.results("%sh exit 3")["summary"]
