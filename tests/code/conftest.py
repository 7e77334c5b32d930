"""The fixtures of the Git side: a site whose project has been pushed to nowhere yet, and a pushed one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from kedro_databricks_hybrid.sandbox.app import Sandbox, create_app
from kedro_databricks_hybrid.sandbox.layout import Layout
from tests.code.site import Counting, Site
from tests.project_fixtures import forget_project, make_project
from tests.sandbox_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a sandbox, and make a project with one commit and an empty remote."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    app = Counting(create_app(sandbox))
    served = serve(sandbox, app)
    monkeypatch.setenv("DATABRICKS_HOST", sandbox.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", sandbox.user.token)
    monkeypatch.setenv("KEDRO_DATABRICKS_STATE", str(tmp_path / "state"))
    project = make_project(tmp_path / "tiny").write(
        {
            ".gitignore": "/data/02_intermediate/\n/conf/local/\n__pycache__/\n*.log\n",
            "requirements.txt": "kedro\n",
            "conf/base/databricks.yml": (
                "code:\n  folder: /Workspace/Repos/{user}/tiny\ncompute:\n  cluster: sandbox\n"
            ),
            "conf/databricks/databricks.yml": "data:\n  root: dbfs:/root/projects/tiny/data\n",
        }
    )
    made = Site(sandbox, app.requests, project.path, tmp_path / "tiny.git")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(made.remote)], check=True)
    made.git("init", "-q", "-b", "main")
    made.git("remote", "add", "origin", str(made.remote))
    made.commit({}, "First")
    yield made
    forget_project()
    served.stop()


@pytest.fixture
def pushed(site: Site) -> Site:
    """Push the site's code once."""
    site.call("push", "--no-data")
    site.requests.clear()
    return site
