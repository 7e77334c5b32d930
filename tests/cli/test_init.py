"""Init prepares a project without this plugin: its files and API calls; a second call does nothing."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kedro_databricks_hybrid.databricks import git_folder
from tests.project_fixtures import PACKAGE

if TYPE_CHECKING:
    from tests.site import Site

SETTINGS = f"src/{PACKAGE}/settings.py"
WRITTEN = {
    ".gitignore",
    "conf/base/databricks.yml",
    "conf/databricks/databricks.yml",
    "notebooks/run_on_databricks.py",
    "requirements.txt",
    SETTINGS,
}


def test_a_stranger_is_prepared(stranger: Site) -> None:
    """Init writes every file with the right content, and keeps the project's own content."""
    said = stranger.call("init").output
    assert {line[3:] for line in stranger.git("status", "--porcelain", "-uall").splitlines()} == WRITTEN
    assert all(name in said for name in WRITTEN)
    assert "git add -A, commit, then kedro databricks push" in said
    settings = (stranger.project / SETTINGS).read_text()
    assert "CONFIG_LOADER_CLASS = DatabricksConfigLoader" in settings
    assert "HOOKS = (SparkHooks(),)" in settings
    assert (stranger.project / "requirements.txt").read_text() == "kedro\nkedro-databricks-hybrid\n"
    root = (stranger.project / "conf/databricks/databricks.yml").read_text()
    assert "data:\n  root: dbfs:/root/projects/{project}/data\n" in root
    code = (stranger.project / "conf/base/databricks.yml").read_text()
    assert "code:\n  folder: /Workspace/Repos/{user}/{project}\n" in code
    assert "spark-warehouse/" in (stranger.project / ".gitignore").read_text()
    assert stranger.git("check-ignore", "conf/local/credentials.yml") == "conf/local/credentials.yml"
    assert stranger.repo().path == "/Repos/user@example.com/tiny-shop"


def test_then_the_workflow_works(stranger: Site) -> None:
    """After a commit, push works and doctor finds no problem."""
    stranger.call("init")
    stranger.commit({}, "Prepared")
    assert "Databricks has" in stranger.call("push").output
    stranger.call("doctor")


def test_a_project_of_kedros_spaceflights_shape(site: Site) -> None:
    """Several pipelines, SparkHooks, a config loader with arguments, a spark.yml: init keeps them all."""
    template = Path(__file__).resolve().parent.parent / "projects" / "spaceflights"
    project = site.project.parent / "spaceflights"
    shutil.copytree(template, project)
    shutil.rmtree(site.project)
    site.project, site.name = project, "spaceflights"
    site.git("init", "-q", "-b", "main")
    site.git("remote", "add", "origin", str(site.remote))
    site.commit({}, "Theirs")
    said = site.call("init").output
    assert "Edited src/spaceflights/settings.py" in said
    settings = (project / "src" / "spaceflights" / "settings.py").read_text()
    assert "CONFIG_LOADER_CLASS = DatabricksConfigLoader\n" in settings
    assert "HOOKS = (SparkHooks(),)" in settings
    assert '"spark": ["spark*", "spark*/**"]' in settings
    changed = set(site.git("diff", "--name-only").splitlines())
    assert changed == {".gitignore", "requirements.txt", "src/spaceflights/settings.py"}
    site.commit({}, "Prepared")
    assert json.loads(site.call("push", "--json").stdout)["data"]["sent"] == 3
    assert "Everything is already prepared" in site.call("init").output
    assert site.git("status", "--porcelain") == ""
    site.call("doctor")


def test_again_changes_nothing(stranger: Site) -> None:
    """A second init says that nothing is to be done, and sends only reading requests."""
    stranger.call("init")
    stranger.commit({}, "Prepared")
    stranger.requests.clear()
    said = stranger.call("init").output
    assert "nothing was changed" in said
    assert stranger.git("status", "--porcelain") == ""
    assert {each.partition(" ")[0] for each in stranger.requests} == {"GET"}


def test_dry_run_shows_every_file_and_call(stranger: Site) -> None:
    """`init --dry-run` prints every file and API call, and changes nothing."""
    said = stranger.call("init", "--dry-run").output
    assert all(f"{name}:" in said for name in WRITTEN)
    assert "+CONFIG_LOADER_CLASS = DatabricksConfigLoader" in said
    for call in ("POST /api/2.0/workspace/mkdirs", "POST /api/2.0/repos"):
        assert f"Would call {call}" in said
    assert stranger.git("status", "--porcelain") == ""
    assert {each.partition(" ")[0] for each in stranger.requests} == {"GET"}


def test_the_notebook_has_the_guides_four_cells(stranger: Site) -> None:
    """The notebook is a Databricks notebook with cells that install, load, reload and run."""
    stranger.call("init")
    source = (stranger.project / "notebooks/run_on_databricks.py").read_text()
    assert source.startswith("# Databricks notebook source\n")
    cells = [cell.strip().removeprefix("# MAGIC ") for cell in source.split("# COMMAND ----------")[1:]]
    assert [cell.split()[0] for cell in cells[:-1]] == ["%pip", "%load_ext", "%reload_kedro"]
    assert cells[-1].endswith("session.run()")
    ast.parse(source)


def test_a_loader_of_ones_own_is_left(stranger: Site) -> None:
    """A project with its own config loader: init prints the lines to add and leaves settings.py unchanged."""
    own = (
        "from kedro.config import OmegaConfigLoader\n\n\nclass Mine(OmegaConfigLoader): ...\n\n\n"
        "CONFIG_LOADER_CLASS = Mine\n"
    )
    stranger.commit({SETTINGS: own})
    said = stranger.call("init").output
    assert f"Add to {SETTINGS}" in said
    assert (stranger.project / SETTINGS).read_text() == own


class TestCredentials:
    """The Git credential, for remotes that are not local folders."""

    TOKEN = "glpat-very-secret"

    @pytest.fixture
    def elsewhere(self, site: Site) -> Site:
        """Return a site whose remote is at a self-hosted provider that does not answer."""
        site.git("remote", "set-url", "origin", "https://me:hunter2@127.0.0.1:9/team/tiny.git")
        site.write({"conf/base/databricks.yml": "code:\n  provider: gitLabEnterpriseEdition\n"})
        return site

    def credentials(self, site: Site) -> list[Any]:
        """Return the credentials in the workspace."""
        return list(site.workspace().client.git_credentials.list())

    def test_registered_once_and_then_updated(self, site: Site) -> None:
        """The second token replaces the first; the provider is the self-hosted one."""
        workspace = site.workspace()
        for done in ("created", "updated"):
            assert (
                git_folder.register_credential(workspace, "gitLabEnterpriseEdition", None, self.TOKEN) == done
            )
        assert [each.git_provider for each in self.credentials(site)] == ["gitLabEnterpriseEdition"]

    def test_from_a_variable(self, elsewhere: Site) -> None:
        """Only the request's body contains the token: not the output, the project or Git."""
        variable = {"MY_TOKEN": self.TOKEN}
        outputs = [
            elsewhere.call("init", "--git-token-env", "MY_TOKEN", env=variable, status=1).output,
            elsewhere.call("init", "--git-token-env", "MY_TOKEN", "--dry-run", env=variable).output,
            elsewhere.call("doctor", env=variable, status=1).output,
            elsewhere.call("status", env=variable).output,
        ]
        assert "Registered the Git credential for gitLabEnterpriseEdition" in outputs[0]
        assert "PATCH /api/2.0/git-credentials/" in outputs[1]
        assert [each.git_provider for each in self.credentials(elsewhere)] == ["gitLabEnterpriseEdition"]
        files = [path for path in elsewhere.project.rglob("*") if path.is_file() and path.name != "config"]
        for text in (*outputs, *(path.read_text(errors="replace") for path in files)):
            assert self.TOKEN not in text
            assert "hunter2" not in text
            assert elsewhere.sandbox.user.token not in text

    @pytest.mark.usefixtures("at_a_terminal")
    def test_a_person_is_asked(self, elsewhere: Site) -> None:
        """At a terminal init asks for the token without showing it, and for a user name if it is needed."""
        elsewhere.write({"conf/base/databricks.yml": "code:\n  provider: bitbucketServer\n"})
        said = elsewhere.call("init", input=f"me\n{self.TOKEN}\n", status=1).output
        assert "Your name at https://127.0.0.1:9/team/tiny.git" in said
        assert "Registered the Git credential for bitbucketServer" in said
        assert self.TOKEN not in said
        (made,) = self.credentials(elsewhere)
        assert (made.git_provider, made.git_username) == ("bitbucketServer", "me")

    def test_one_that_is_there_serves(self, elsewhere: Site) -> None:
        """An existing credential is kept without a question; without one, the output names the option."""
        said = elsewhere.call("init", "--dry-run").output
        assert "--git-token-env=VARIABLE" in said
        git_folder.register_credential(elsewhere.workspace(), "gitLabEnterpriseEdition", None, self.TOKEN)
        said = elsewhere.call("init", "--dry-run").output
        assert "A Git credential for gitLabEnterpriseEdition is already registered." in said

    def test_a_variable_that_is_not_set(self, elsewhere: Site) -> None:
        """The variable of --git-token-env is not set: the error names it."""
        assert "MY_TOKEN" in elsewhere.call("init", "--git-token-env", "MY_TOKEN", status=1).output
        assert self.credentials(elsewhere) == []
