"""Kedro's spaceflights project writes the same outputs on the cluster and locally."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kedro_databricks_hybrid.spark import java
from tests import spaceflights
from tests.e2e.commands import Shell
from tests.equal_outputs import assert_equal_outputs
from tests.project_fixtures import write_files

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
_LOADER = "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader as OmegaConfigLoader"


def test_all_outputs_equal_those_of_a_local_run(sandbox_home: Path, tmp_path: Path) -> None:
    """Tables, versioned models and metrics, partitions and a picture are equal; the secret is not printed."""
    here = spaceflights.copy_to(tmp_path / "here")
    local = dict(os.environ)
    java.ensure(local)
    Shell(here, sandbox_home, {"JAVA_HOME": local.get("JAVA_HOME", "")}).ok("kedro run")
    shell = prepared(spaceflights.copy_to(tmp_path / "there"), sandbox_home)
    shell.ok(f"kedro databricks push --all-data {PROFILE}")
    ran = shell.ok(f"kedro databricks run --cluster=sandbox {PROFILE}")  # other tests may have stopped it
    assert "Completed 11 out of 11 tasks" in ran.out
    assert "Spark has 4 shuffle partitions" in ran.out  # of the session that the project's hooks create
    assert spaceflights.KEY not in ran.out + ran.err
    shell.ok(f"kedro databricks pull --data {PROFILE}")
    assert_equal_outputs(shell.folder / "data", here / "data")


def prepared(project: Path, home: Path) -> Shell:
    """Prepare a copy for the sandbox: loader, data root, a secret for the key, and a Git remote."""
    settings = project / "src" / "spaceflights" / "settings.py"
    text = settings.read_text("utf-8").replace("from kedro.config import OmegaConfigLoader", _LOADER)
    settings.write_text(text, encoding="utf-8")
    files = {
        "conf/databricks/databricks.yml": "data:\n  root: dbfs:/root/projects/spaceflights/data\n",
        "conf/databricks/credentials.yml": "reviews_signature:\n  key: ${databricks.secret:flights,key}\n",
    }
    write_files(project, files)
    requirements = project / "requirements.txt"
    requirements.write_text(requirements.read_text("utf-8") + "kedro-databricks-hybrid\n", encoding="utf-8")
    shell = Shell(project, home)
    secrets = shell.client().secrets
    secrets.create_scope("flights")
    secrets.put_secret("flights", "key", string_value=spaceflights.KEY)
    for command in (
        "git init -q -b main",
        f"git init -q --bare -b main {project}.git",
        f"git remote add origin {project}.git",
        "git add .",
        "git commit -q -m First",
    ):
        shell.ok(command)
    return shell
