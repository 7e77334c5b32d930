"""What the doctor finds of the rarer logins, clusters, remotes and machines."""

from __future__ import annotations

import base64
import importlib.util
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.core import Config
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid import cluster, git_credential
from kedro_databricks_hybrid.cli.project import Project, open_project
from kedro_databricks_hybrid.doctor import machine
from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor import workspace as of_workspace
from kedro_databricks_hybrid.doctor.finding import Finding, Level
from kedro_databricks_hybrid.sdk import Client
from kedro_databricks_hybrid.workspace import Workspace

if TYPE_CHECKING:
    from tests.code.site import Site

CODE = "code:\n  folder: /Workspace/Repos/{user}/tiny\n"
PROVIDER = "gitLabEnterpriseEdition"
ELSEWHERE = "https://127.0.0.1:9/team/tiny.git"
VOLUME = "/Volumes/main/default/data/tiny"


def project_of(site: Site) -> Project:
    """Open the site's project as a command does."""
    return open_project(bootstrap_project(site.project), None)


def with_token(site: Site, token: str) -> Workspace:
    """Return the site's workspace with another token, which nothing has been asked with."""
    config = Config(host=site.sandbox.url, token=token, auth_type="pat", retry_timeout_seconds=5)
    return Workspace(Client(config), "user@example.com", None)


def web_token(claims: object) -> str:
    """Return a token in the form of a JSON web token."""
    told = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{told}.c2lnbmVk"


def findings_of(site: Site, *, root: str = "dbfs:/root/x", **attributes: str) -> dict[str, Finding]:
    """Return what is found of a new cluster with these attributes, by the name of the check."""
    name = "-".join(("odd", *attributes.values(), root)).replace("/", "-")
    body = {"cluster_name": name, "spark_version": "17.3.x-scala2.13", "num_workers": 0, **attributes}
    site.workspace().client.api_client.do("POST", "/api/2.1/clusters/create", body=body)
    return compute(site, name, root)


def compute(site: Site, name: str, root: str = "dbfs:/root/x") -> dict[str, Finding]:
    """Return what is found of a cluster, by the name of the check."""
    site.write(
        {
            "conf/base/databricks.yml": f"{CODE}compute:\n  cluster: {name!r}\n",
            "conf/databricks/databricks.yml": f"data:\n  root: {root}\n",
        }
    )
    return {each.check: each for each in of_workspace.compute(project_of(site), site.workspace())}


def test_logins_that_tell_their_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web token's own word counts; a login that renews itself has no end."""
    ending = of_workspace.token(with_token(site, web_token({"exp": time.time() + 3 * 3600})))
    assert (ending.level, ending.found) == (Level.YELLOW, "it expires in 3 hours")
    renewed = site.workspace()
    monkeypatch.setattr(renewed.client.config, "auth_type", "databricks-cli")
    assert of_workspace.token(renewed).found == "renewed by itself (databricks-cli)"


@pytest.mark.parametrize("token", ["a.e.c", web_token({"sub": "ann"}), web_token(["exp"])])
def test_a_token_that_only_looks_like_a_web_token(site: Site, token: str) -> None:
    """It tells no end, and is asked for elsewhere."""
    found = of_workspace.token(with_token(site, token))
    assert (found.level, found.found[:27]) == (Level.GREEN, "when it expires is not told")


@pytest.mark.parametrize("words", ["Tokens are disabled for your user", "Not allowed"])
def test_tokens_that_may_not_be_listed(site: Site, words: str) -> None:
    """A workspace may forbid it to a login that works: then the end is not known, which is no fault."""
    site.sandbox.faults.add("status", path="/api/2.0/token/list", status=403, message=f"{words}.")
    found = of_workspace.token(site.workspace())
    assert (found.level, found.found[:27]) == (Level.GREEN, "when it expires is not told")
    assert words in found.found


def test_a_workspace_that_does_not_tell_its_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy may take the Date header away: there is nothing to compare, and nothing wrong."""
    workspace = site.workspace()
    monkeypatch.setattr(workspace.client.api_client, "do", lambda *_, **__: {"userName": "ann"})
    assert of_workspace.clock(workspace) == Finding(
        "clock", Level.GREEN, "the workspace does not tell its time"
    )


def test_clusters_in_every_state(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a run starts is fine; one that Databricks has given up is red, with its page."""
    found = compute(site, "sandbox-stopped")["cluster"]
    assert (found.level, found.found) == (Level.GREEN, "sandbox-stopped is terminated; run starts it")
    details = cluster.details

    def broken(workspace: Workspace, chosen: cluster.Cluster) -> cluster.Details:
        return replace(details(workspace, chosen), state="ERROR")

    monkeypatch.setattr(cluster, "details", broken)
    found = compute(site, "sandbox-stopped")["cluster"]
    assert (found.level, found.found) == (Level.RED, "sandbox-stopped is error")
    assert f"{site.sandbox.url}/compute/clusters/" in (found.fix or "")


def test_clusters_that_do_not_fit_the_data_root(site: Site) -> None:
    """The runtime and the access mode decide what a driver reaches."""
    custom = findings_of(site, spark_version="custom:snapshot")
    assert (custom["runtime"].level, custom["packages"].level) == (Level.YELLOW, Level.GREEN)
    assert "custom:snapshot is not known here" in custom["runtime"].found
    legacy = findings_of(site, root=VOLUME, data_security_mode="NONE")["access mode"]
    assert (legacy.level, legacy.found) == (Level.RED, f"NONE cannot reach {VOLUME}")
    shared = findings_of(site, data_security_mode="USER_ISOLATION")["access mode"]
    assert (shared.level, shared.fix) == (Level.YELLOW, "Set data.root to a volume")


def test_serverless_with_a_volume(site: Site) -> None:
    """Every run becomes a job, and no cluster is looked for."""
    found = compute(site, "serverless", root=VOLUME)
    assert set(found) == {"cluster"}
    assert found["cluster"].level is Level.GREEN


def test_a_cluster_elsewhere_is_compared_with_this_machine(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the sandbox runs by this machine's own Python and Spark."""
    monkeypatch.setattr(Workspace, "is_local", False)
    found = findings_of(site, spark_version="11.3.x-scala2.12")["runtime"]
    assert found.level is Level.YELLOW
    assert "11.3" in found.found
    assert "3.9" in f"{found.found} {found.fix}"


def test_a_credential_before_the_git_folder(site: Site) -> None:
    """It is known but not tried; with code.sync: files it is not needed."""
    site.git("remote", "set-url", "origin", ELSEWHERE)
    site.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    workspace = site.workspace()
    git_credential.register(workspace, PROVIDER, None, "glpat-made-up")
    found = of_workspace.credential(project_of(site), workspace)
    assert (found.level, found.found) == (
        Level.GREEN,
        f"one for {PROVIDER}; cloning the Git folder will try it",
    )
    site.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n  sync: files\n"})
    found = of_workspace.credential(project_of(site), workspace)
    assert (found.level, found.found) == (Level.GREEN, "not needed: your files are sent, not cloned")


def test_a_remote_that_lets_everyone_in(pushed: Site) -> None:
    """Databricks reads it without a credential, so none is asked for."""
    pushed.git("remote", "set-url", "origin", ELSEWHERE)
    pushed.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    found = of_workspace.credential(project_of(pushed), pushed.workspace())
    assert (found.level, found.found) == (
        Level.GREEN,
        f"none for {PROVIDER}, and none needed: Databricks reads the remote without",
    )


def test_a_credential_that_could_not_be_tried(pushed: Site) -> None:
    """A remote that Databricks does not reach says nothing about the credential."""
    pushed.git("remote", "set-url", "origin", ELSEWHERE)
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message="The remote hung up.")
    pushed.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    found = of_workspace.credential(project_of(pushed), pushed.workspace())
    assert found.level is Level.YELLOW
    assert f"none for {PROVIDER}, which could not be tried: " in found.found
    assert "The remote hung up." in found.found


def test_files_in_git_lfs(site: Site) -> None:
    """Their pointers arrive, which is worth knowing; push says so too, whatever colours git has."""
    site.git("config", "color.ui", "always")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    site.commit({"model.bin": pointer})
    found = of_project.contents(project_of(site))
    assert found == Finding(
        "Git contents", Level.YELLOW, "1 file(s) of Git LFS arrive as pointers: model.bin"
    )
    assert "pointers of Git LFS, not the files: model.bin" in site.call("push", "--no-data").output


def test_what_is_not_installed_is_not_complained_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Spark here no Java is needed, and without Kedro's telemetry nothing waits for it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    java, telemetry = machine.spark_and_java(), machine.telemetry(site.project)
    assert (java.level, java.found) == (Level.GREEN, "not needed: no Spark is installed here")
    assert (telemetry.level, telemetry.found) == (Level.GREEN, "not installed")


def test_a_proxy_to_a_workspace_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, without the password that its address may hold."""
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy.example.com:3128")
    found = machine.proxies("https://adb-1.azuredatabricks.net")
    assert (found.level, found.found) == (Level.GREEN, "proxy.example.com, from the environment")
