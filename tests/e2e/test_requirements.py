"""Requirements on a cluster: each tool's files, the runtime's packages, a private index, libraries."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.compute import Library, PythonPyPiLibrary

from tests.e2e import package_index
from tests.e2e.test_run import PUSH, RUN, commit_node
from tests.project_fixtures import write_files
from tests.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_PYPROJECT = """
[project]
name = "tiny-shop"
version = "0.1"
requires-python = ">=3.10"
dependencies = ["kdh-probe>=1", "pyspark>=3.5"]
"""
_LOCKED = """\
[[package]]
name = "{name}"
version = "{version}"
source = {{ registry = "http://{host}/" }}
wheels = [{{ url = "http://{host}/{file}", hash = "sha256:{digest}" }}]
"""
_LOCK = """\
version = 1
requires-python = ">=3.10"
{packages}
[[package]]
name = "tiny-shop"
version = "0.1"
source = {{ virtual = "." }}
dependencies = [{{ name = "kdh-probe" }}, {{ name = "pyspark" }}]
[package.metadata]
requires-dist = [{{ name = "kdh-probe", specifier = ">=1" }}, {{ name = "pyspark", specifier = ">=3.5" }}]
"""
_PASSWORD = "p@ss/w:rd"
_SETTINGS = """\
code:
  folder: /Workspace/Repos/{{user}}/private-index
compute:
  cluster: sandbox
  pip_options: "--index-url http://{{{{secrets/pip/user}}}}:{{{{secrets/pip/password}}}}@{host}/"
"""


def test_a_private_index(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """Let pip log in to a private index with secrets that no output shows, and pyspark is not installed.

    The version in uv.lock is installed, and its hash is checked.
    """
    shell = tiny("private-index")
    for version in ("1.0", "2.0"):
        wheel = write_wheel(tmp_path / "index" / "kdh-probe", "kdh-probe", version)
    wheel = wheel.with_name(wheel.name.replace("2.0", "1.0"))
    pyproject = shell.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + _PYPROJECT)
    secrets = shell.client().secrets
    secrets.create_scope("pip")
    secrets.put_secret("pip", "user", string_value="reader")
    secrets.put_secret("pip", "password", string_value="wrong-one")
    with package_index.served(tmp_path / "index", "reader", _PASSWORD) as host:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        probe = {"name": "kdh-probe", "version": "1.0", "file": f"kdh-probe/{wheel.name}", "digest": digest}
        spark = {
            "name": "pyspark",
            "version": "3.5.1",
            "file": "pyspark-3.5.1-py3-none-any.whl",
            "digest": "0" * 64,
        }
        packages = "".join(_LOCKED.format(host=host, **each) for each in (probe, spark))
        (shell.folder / "uv.lock").write_text(_LOCK.format(packages=packages))
        shell.environment["UV_DEFAULT_INDEX"] = f"http://{host}/"
        (shell.folder / "conf" / "base" / "databricks.yml").write_text(_SETTINGS.format(host=host))
        shell.ok("git add .")
        commit_node(shell, 'import kdh_probe\nprint("probe", kdh_probe.VERSION)')
        refused = shell.fails(RUN, "pip could not install", "uv.lock", "kdh-probe")
        secrets.put_secret("pip", "password", string_value=_PASSWORD)
        ran = shell.ok(RUN)
    assert "Not installed from uv.lock, as the runtime has it: pyspark==3.5.1" in ran.out
    assert "probe 1.0" in ran.out
    assert "Installing" not in shell.ok(RUN).out
    shown = refused.out + refused.err + ran.out + ran.err
    for secret in ("wrong-one", _PASSWORD, "p%40ss"):
        assert secret not in shown


_POETRY = """
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = ">=3.10,<4"
kdh-probe = {{ path = "wheels/{wheel}" }}
"""


def test_projects_of_every_kind(tiny: Callable[[str], Shell]) -> None:
    """Requirements of pip, pip-tools (with hashes) and Poetry: each installs the version it requires."""
    shell = tiny("kinds")
    for version in ("1.0", "2.0"):
        write_wheel(shell.folder / "wheels", "kdh-probe", version)
    wheel = shell.folder / "wheels" / "kdh_probe-1.0-py3-none-any.whl"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    shell.ok("git add .")
    commit_node(shell, 'import kdh_probe\nprint("probe", kdh_probe.VERSION)')
    pyproject = (shell.folder / "pyproject.toml").read_text()
    offline = "--no-index\n--find-links ./wheels\n"
    files = {
        "requirements.txt": f"{offline}-c pins.txt\nkdh-probe  # ours\npyspark>=3.5\n",
        "pins.txt": "kdh-probe<2\n",
    }
    told = run_with(shell, files)
    assert "Not installed from requirements.txt, as the runtime has it: pyspark>=3.5" in told
    hashed = f"{offline}kdh-probe==1.0 \\\n    --hash=sha256:{{}}\npyspark==3.5.1 --hash=sha256:{'0' * 64}\n"
    run_with(shell, {"requirements.txt": hashed.format(digest)})
    write_files(shell.folder, {"requirements.txt": hashed.format("1" * 64)})
    shell.ok("git commit -q -a -m Hash")
    shell.fails(f"{RUN} --push", "pip could not install", "THESE PACKAGES DO NOT MATCH THE HASHES")
    shell.ok("git rm -q -f requirements.txt pins.txt")
    write_files(shell.folder, {"pyproject.toml": pyproject + _POETRY.format(wheel=wheel.name)})
    shell.ok("poetry lock", POETRY_VIRTUALENVS_CREATE="false")
    assert "Installing /Workspace/Repos/user@example.com/kinds/poetry.lock" in run_with(shell, {})


def run_with(shell: Shell, files: dict[str, str]) -> str:
    """Commit files, push and run; check that version 1.0 of the probe is used, and return the output."""
    write_files(shell.folder, files)
    shell.ok("git add .")
    shell.ok("git commit -q -m Requirements")
    ran = shell.ok(f"{RUN} --push")
    assert "probe 1.0" in ran.out
    return ran.out


def test_libraries_of_the_cluster_are_waited_for(tiny: Callable[[str], Shell]) -> None:
    """A library of the cluster cannot be installed: the output names it, and the run completes."""
    shell = tiny("with-libraries")
    shell.ok(PUSH)
    client = shell.client()
    library = Library(pypi=PythonPyPiLibrary("kdh-no-such-package", repo="http://127.0.0.1:9/"))
    cluster = next(each for each in client.clusters.list() if each.cluster_name == "sandbox").cluster_id or ""
    client.libraries.install(cluster, [library])
    ran = shell.ok(f"{RUN} --fresh")
    client.libraries.uninstall(cluster, [library])
    assert "could not install its library kdh-no-such-package" in ran.out
    assert "Completed 1 out of 1 tasks" in ran.out


def test_this_package_where_no_index_has_it(tiny: Callable[[str], Shell]) -> None:
    """The index lacks this package: its wheel is installed, in a context, a job run and a deployed job."""
    shell = tiny("unpublished")
    (shell.folder / "requirements.txt").write_text("kedro-databricks-hybrid\n")
    shell.ok("kedro databricks notebook --profile=sandbox")
    shell.ok("git add .")
    commit_node(shell, 'from importlib.metadata import version\nprint(version("kedro-databricks-hybrid"))')
    wheel = "/Workspace/Users/user@example.com/.kedro-hybrid/kedro_databricks_hybrid-0.1.0+"
    for run in (RUN, f"{RUN} --job"):
        ran = shell.ok(run)
        assert f"so its wheel is installed: {wheel}" in ran.out
        assert "\n0.1.0+" in ran.out
    assert "wheel" not in shell.ok(RUN).out, "the warm process has it already"
    deploy = "kedro databricks deploy --profile=sandbox --name=unpublished --run"
    ran = shell.ok(deploy)
    assert "\n0.1.0+" in ran.out
    job = next(each for each in shell.client().jobs.list(name="unpublished", expand_tasks=True))
    (task,) = (job.settings and job.settings.tasks) or []
    assert [str(each.whl).startswith(wheel) for each in task.libraries or []] == [True]
