"""A project that Kedro's users know, on the cluster and here: what it writes is the same."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from kedro_databricks_hybrid import java
from tests import spaceflights
from tests.e2e.commands import Shell
from tests.project_fixtures import write_files

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.processes

PROFILE = "--profile=sandbox"
_LOADER = "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader as OmegaConfigLoader"


def test_all_outputs_equal_those_of_a_local_run(sandbox_home: Path, tmp_path: Path) -> None:
    """Tables of Spark and pandas, a model and metrics by version, partitions, a picture; with a secret."""
    here = spaceflights.copy_to(tmp_path / "here")
    local = dict(os.environ)
    java.ensure(local)
    Shell(here, sandbox_home, {"JAVA_HOME": local.get("JAVA_HOME", "")}).ok("kedro run")
    shell = prepared(spaceflights.copy_to(tmp_path / "there"), sandbox_home)
    shell.ok(f"kedro databricks push --all-data {PROFILE}")
    ran = shell.ok(f"kedro databricks run {PROFILE}")
    assert "Completed 11 out of 11 tasks" in ran.out
    assert spaceflights.KEY not in ran.out + ran.err
    shell.ok(f"kedro databricks pull --data {PROFILE}")
    assert contents(shell.folder / "data") == contents(here / "data")


def prepared(project: Path, home: Path) -> Shell:
    """Prepare a copy for the sandbox, as its owner would: one catalog for both, the key as a secret."""
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


def contents(data: Path) -> dict[str, object]:
    """Return what the files of a project's outputs hold; tables that Spark writes have rows in no order."""
    found: dict[str, object] = {}
    for path in sorted(data.glob("0[2-8]_*/**/*")):
        name = str(path.relative_to(data))
        if any(parent.suffix for parent in path.relative_to(data).parents):
            continue  # a part of what is compared as a whole
        if path.is_dir() and path.suffix in _TABLES:
            rows = [row for part in sorted(path.glob("part-*")) for row in _TABLES[path.suffix](part)]
            found[name] = sorted(rows)
        elif path.is_dir() and path.suffix:  # by version
            found[name] = [_content(version) for version in path.rglob("*") if version.is_file()]
        elif path.is_file() and path.name != ".gitkeep":
            found[name] = _content(path)
    return found


def _content(path: Path) -> object:
    """Return what a file holds, whichever versions of pyarrow and NumPy wrote it."""
    if path.suffix == ".parquet":
        return _TABLES[path.suffix](path)
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes()).tolist()  # noqa: S301 - this test's own
    return path.read_bytes()


def _rows(read: Callable[[Path], pd.DataFrame]) -> Callable[[Path], list[str]]:
    return lambda part: [str(row) for row in read(part).itertuples(index=False)]


_TABLES = {".parquet": _rows(pd.read_parquet), ".csv": _rows(pd.read_csv)}
