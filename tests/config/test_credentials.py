"""Credentials of runs on Databricks: the environment, then the project's secret scope, else one line."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from databricks.sdk.service.workspace import AclPermission

from kedro_databricks_hybrid.config import secrets
from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.hooks import WrongPlaceError
from kedro_databricks_hybrid.run.driver.run_log import RunLog
from kedro_databricks_hybrid.sandbox.app import Sandbox, create_app
from kedro_databricks_hybrid.sandbox.core.layout import Layout
from tests.both_ways import there
from tests.project_fixtures import Project, make_project
from tests.sandbox_server import serve
from tests.site import Counting, Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore:\\s*register_new_resolver"),
]

VALUE = "open sesame"
VAULT = f"""\
import hashlib

from kedro.io import AbstractDataset

DIGEST = "{hashlib.sha256(VALUE.encode()).hexdigest()}"


class Vault(AbstractDataset):
    def __init__(self, credentials):
        self._credentials = credentials

    def _load(self):
        print("It is", self._credentials["key"])
        digest = hashlib.sha256(self._credentials["key"].encode()).hexdigest()
        if (digest, self._credentials["region"]) != (DIGEST, "eu"):
            raise ValueError("not these")
        return self._credentials["region"]

    def _save(self, data):
        raise NotImplementedError

    def _describe(self):
        return {{}}
"""
FILES = {
    "src/tiny_shop/vault.py": VAULT,
    "src/tiny_shop/pipeline_registry.py": """\
        from kedro.pipeline import node, pipeline


        def register_pipelines():
            return {"__default__": pipeline([node(lambda region: region, "vault", "out", name="open")])}
        """,
    "conf/base/catalog.yml": """\
        vault: {type: tiny_shop.vault.Vault, credentials: store}
        unused: {type: tiny_shop.vault.Vault, credentials: unused}
        """,
    "conf/base/credentials.yml": """\
        store: {key: "${oc.env:STORE_KEY}", region: "${oc.env:REGION,eu}"}
        unused: {key: "a ${oc.env:UNUSED} b ${oc.env:OTHER}"}
        """,
}


@pytest.fixture
def requests() -> Requests:
    """What the sandbox is asked."""
    return Requests()


@pytest.fixture
def sandbox(tmp_path: Path, requests: Requests) -> Iterator[Sandbox]:
    """Return a sandbox that is served."""
    sandbox = Sandbox(Layout(tmp_path / "home"))
    served = serve(sandbox, Counting(create_app(sandbox), requests))
    yield sandbox
    served.stop()


@pytest.fixture
def put(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that sets a secret in a scope that this process reads as a driver does."""
    monkeypatch.setenv("DATABRICKS_HOST", sandbox.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", sandbox.user.token)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    for name in ("STORE_KEY", "REGION", "UNUSED", "OTHER"):
        monkeypatch.delenv(name, raising=False)
    client = connect(None).client.secrets
    client.create_scope("tiny-shop")

    def get(scope: str, key: str) -> str:
        return base64.b64decode(str(connect(None).client.secrets.get_secret(scope, key).value)).decode()

    monkeypatch.setattr(secrets, "_dbutils", lambda: SimpleNamespace(secrets=SimpleNamespace(get=get)))
    monkeypatch.setattr(secrets, "revealed", set())
    return lambda key, value: client.put_secret("tiny-shop", f"tiny-shop.{key}", string_value=value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a dataset that opens only with the right key."""
    return make_project(tmp_path / "project").write(FILES)


def test_what_the_environment_lacks_comes_from_the_scope(
    put: Callable[[str, str], None], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is set wins, a default comes last, and what nobody gives hurts only who needs it."""
    put("STORE_KEY", VALUE)
    project.run()
    put("REGION", "us")
    with pytest.raises(Exception, match="not these"):
        project.run()
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.setenv("STORE_KEY", VALUE)
    put("STORE_KEY", "wrong")
    project.run()
    loader = DatabricksConfigLoader(project.path / "conf")
    with pytest.raises(
        SettingsError, match=r"The run needs UNUSED, OTHER, and neither.*secret scope tiny-shop"
    ):
        copy.deepcopy(loader["credentials"]["unused"])
    project.write({"conf/base/parameters.yml": "x: ${oc.env:STORE_KEY}\n"})
    with pytest.raises(Exception, match=r"oc\.env"):
        loader["parameters"]
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION")
    with pytest.raises(Exception, match="UNUSED"):
        DatabricksConfigLoader(project.path / "conf")["credentials"]


def test_one_line_before_a_run_that_lacks_credentials(
    put: Callable[[str, str], None], project: Project
) -> None:
    """It names the secrets, their datasets and the command; a partial or a refused secret counts as well."""
    with pytest.raises(WrongPlaceError) as caught:
        project.run()
    assert str(caught.value.message) == (
        "The run needs STORE_KEY (for vault), and neither the environment nor the secret scope tiny-shop "
        "has it. On your machine, type `kedro databricks secrets set STORE_KEY`."
    )
    end = there(project).records[-1]
    assert end["error"] == caught.value.message
    assert end["hint"] == ""
    put("STORE_KEY", VALUE)
    project.write({"conf/base/catalog.yml": "'{any}': {type: tiny_shop.vault.Vault, credentials: local}\n"})
    with pytest.raises(WrongPlaceError, match=r"credentials\.local.*secrets push --from-local"):
        project.run()


def test_a_principal_needs_no_more_than_to_read_the_scope(
    put: Callable[[str, str], None], project: Project, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without READ on the scope, the run says that the secret scope refuses it."""
    put("STORE_KEY", VALUE)
    owner = connect(None).client.secrets
    monkeypatch.setenv("DATABRICKS_TOKEN", sandbox.users.add("ci@example.com").token)
    with pytest.raises(WrongPlaceError, match=r"STORE_KEY.*tiny-shop"):
        project.run()
    owner.put_acl("tiny-shop", "ci@example.com", AclPermission.READ)
    project.run()


def test_through_databricks_connect(
    put: Callable[[str, str], None], project: Project, monkeypatch: pytest.MonkeyPatch, requests: Requests
) -> None:
    """The process on this machine reads the scope of the run's workspace, and only reads it."""
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION")
    monkeypatch.setattr("kedro_databricks_hybrid.spark.connect._Run.workspace", None)
    for module in ("config_loader", "config.secrets"):
        monkeypatch.setattr(f"kedro_databricks_hybrid.{module}.spark_location", lambda: "connect")
    project.write({"conf/databricks/databricks.yml": "data: {root: dbfs:/root/projects/tiny/data}\n"})
    put("STORE_KEY", VALUE)
    requests.clear()
    loader = DatabricksConfigLoader(project.path / "conf", "databricks")
    assert loader["credentials"]["store"] == {"key": VALUE, "region": "eu"}
    assert {each for each in requests if "/secrets/" in each} == {"GET /api/2.0/secrets/get"}
    with pytest.raises(Exception, match="STORE_KEY"):
        DatabricksConfigLoader(project.path / "conf")["credentials"]


def test_an_entry_that_only_one_machine_had(put: Callable[[str, str], None], project: Project) -> None:
    """It is resolved under the same key, without any file of credentials."""
    (project.path / "conf/base/credentials.yml").unlink()
    (project.path / "conf/local/credentials.yml").unlink()
    put("credentials.store", f"key: {VALUE}\nregion: eu\n")
    project.run()


def test_a_value_is_in_no_log(put: Callable[[str, str], None], project: Project) -> None:
    """Neither what is printed nor an error shows it, nor a log file of the project."""
    put("STORE_KEY", VALUE)
    project.write(
        {
            "conf/logging.yml": """\
        version: 1
        handlers:
          kept: {class: logging.FileHandler, filename: kept.log}
        root: {handlers: [kept]}
        loggers: {kedro: {level: INFO}}
        """
        }
    )
    project.write(
        {
            "src/tiny_shop/pipeline_registry.py": """\
        import logging
        from kedro.pipeline import node, pipeline
        from tiny_shop.vault import Vault


        def fail(region):
            logging.getLogger("kedro").warning("logged %s", "open sesame")
            raise ValueError("open sesame")


        def register_pipelines():
            return {"__default__": pipeline([node(fail, "vault", "out", name="open")])}
        """
        }
    )
    ran = there(project)
    assert ran.out == "It is [REDACTED]\n"
    assert ran.records[-1]["error"] == "ValueError: [REDACTED]"
    written = [file for file in (project.path.parent / "root").rglob("*") if file.is_file()]
    assert {file.name for file in written} >= {"end.json", "kept.log"}
    assert not [file for file in written if VALUE in file.read_text("utf-8")]


def test_values_that_are_too_short_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would make the log unreadable; fields that programs read are never changed."""
    monkeypatch.setattr(secrets, "revealed", {"a", "completed", "one\ntwo"})
    log = RunLog(str(tmp_path / "log"))
    log.write("stdout", "a completed one\ntwo\n")
    log.close(outcome="completed")
    lines = [json.loads(line) for line in (tmp_path / "log/000001.jsonl").read_text().splitlines()]
    assert [lines[0]["text"], lines[1]["outcome"]] == ["a [REDACTED] [REDACTED]\n", "completed"]


def test_a_key_that_no_secret_has(put: Callable[[str, str], None], project: Project) -> None:
    """The name of an entry may be one that Databricks does not allow; the run says so."""
    project.write({"conf/base/catalog.yml": "vault: {type: tiny_shop.vault.Vault, credentials: my store}\n"})
    with pytest.raises(WrongPlaceError, match=r"'tiny-shop\.credentials\.my store' cannot be the key"):
        project.run()
