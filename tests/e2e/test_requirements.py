"""Requirements on a cluster: where they stand, what the runtime keeps, a private index behind secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.compute import Library, PythonPyPiLibrary

from tests.e2e import package_index
from tests.e2e.test_run import PUSH, RUN, commit_node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.commands import Shell

pytestmark = pytest.mark.processes

_PYPROJECT = """
[project]
name = "tiny-shop"
version = "0.1"
dependencies = ["kdh-probe>=1", "pyspark>=3.5"]
"""
_LOCK = '[[package]]\nname = "kdh-probe"\nversion = "1.0"\n'
_PASSWORD = "p@ss/w:rd"
_SETTINGS = """\
code:
  folder: /Workspace/Repos/{{user}}/private-index
compute:
  cluster: sandbox
  pip_options: "--index-url http://{{{{secrets/pip/user}}}}:{{{{secrets/pip/password}}}}@{host}/"
"""


def test_a_private_index(tiny: Callable[[str], Shell], tmp_path: Path) -> None:
    """Pip logs in with secrets that nobody sees; the locked version comes; pyspark stays the runtime's."""
    shell = tiny("private-index")
    for version in ("1.0", "2.0"):
        package_index.write_wheel(tmp_path / "index", version)
    pyproject = shell.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + _PYPROJECT)
    (shell.folder / "uv.lock").write_text(_LOCK)
    secrets = shell.client().secrets
    secrets.create_scope("pip")
    secrets.put_secret("pip", "user", string_value="reader")
    secrets.put_secret("pip", "password", string_value="wrong-one")
    with package_index.served(tmp_path / "index", "reader", _PASSWORD) as host:
        (shell.folder / "conf" / "base" / "databricks.yml").write_text(_SETTINGS.format(host=host))
        shell.ok("git add .")
        commit_node(shell, 'import kdh_probe\nprint("probe", kdh_probe.VERSION)')
        refused = shell.fails(RUN, "pip could not install", "pyproject.toml", "kdh-probe")
        secrets.put_secret("pip", "password", string_value=_PASSWORD)
        ran = shell.ok(RUN)
    assert "Not installed from pyproject.toml, as the runtime has it: pyspark>=3.5" in ran.out
    assert "probe 1.0" in ran.out
    assert "Installing" not in shell.ok(RUN).out
    shown = refused.out + refused.err + ran.out + ran.err
    for secret in ("wrong-one", _PASSWORD, "p%40ss"):
        assert secret not in shown


def test_libraries_of_the_cluster_are_waited_for(tiny: Callable[[str], Shell]) -> None:
    """What it still installs is named, and so is what it could not install."""
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
    """Its wheel is installed instead: in a context, in a job run and in a deployed job."""
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
