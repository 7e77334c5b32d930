"""`kedro databricks secrets`: what is set, listed and deleted, and that no value is seen on the way."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.site import Site

_REGISTRY = """\
from kedro.pipeline import node, pipeline


def register_pipelines():
    return {"__default__": pipeline([node(lambda *x: x, ["raw", "lake", "plain"], "out", name="all")])}
"""
_CATALOG = """\
raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv, credentials: store}
lake: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv, credentials: lake}
plain: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv}
unused: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv, credentials: unused}
"""
_CREDENTIALS = """\
_key: ${oc.env:STORE_KEY}
store: {key: "${_key}", region: "${oc.env:REGION,eu}"}
unused: {key: "${oc.env:UNUSED}"}
"""
VALUE = "open sesame"


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A project whose credentials need a variable, may use another, and have an entry in conf/local."""
    site.commit({
        "src/tiny_shop/pipeline_registry.py": _REGISTRY,
        "conf/base/catalog.yml": _CATALOG,
        "conf/base/credentials.yml": _CREDENTIALS,
    })  # fmt: skip
    entries = {"lake": {"user": "me", "password": f"${{oc.env:STORE_KEY}} {VALUE}"}, "other": {"key": VALUE}}
    site.write({"conf/local/credentials.yml": yaml.safe_dump(entries)})
    for name in ("STORE_KEY", "REGION", "UNUSED"):
        monkeypatch.delenv(name, raising=False)
    return site


def listed(site: Site) -> dict[str, list[str] | None]:
    """Return the datasets of each secret that `secrets ls` shows; None for one that is missing."""
    rows = json.loads(site.call("secrets", "ls", "--json").stdout.splitlines()[-1])
    return {row["name"]: row["datasets"] if row["set"] else None for row in rows}


def stored(site: Site, scope: str = "tiny-shop") -> dict[str, str]:
    """Return the secrets of a scope."""
    client = site.workspace().client.secrets
    keys = [str(each.key) for each in client.list_secrets(scope)]
    return {key: base64.b64decode(str(client.get_secret(scope, key).value)).decode() for key in keys}


def test_one_secret(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment or stdin; the scope is made, the listing has no value, and rm deletes it."""
    assert listed(shop) == {"STORE_KEY": None, "credentials.lake": None}
    failed = shop.call("secrets", "set", "STORE_KEY", status=1, input="")
    assert "Set the environment variable STORE_KEY, or pipe the value" in failed.stderr
    monkeypatch.setenv("STORE_KEY", VALUE)
    bodies: list[tuple[str, bytes]] = []
    shop.requests.bodies = bodies
    said = shop.call("secrets", "set", "STORE_KEY")
    assert "Created the secret scope tiny-shop." in said.stdout
    assert "Set STORE_KEY in the secret scope tiny-shop." in said.stdout
    shop.call("secrets", "set", "by-hand", "--from-stdin", input=f"{VALUE}\n")
    assert "'a/b' cannot be the key" in shop.call("secrets", "set", "a/b", status=1).stderr.replace(
        "tiny-shop.", ""
    )
    assert stored(shop) == {"tiny-shop.STORE_KEY": VALUE, "tiny-shop.by-hand": VALUE}
    assert listed(shop) == {"STORE_KEY": ["raw"], "by-hand": [], "credentials.lake": None}
    table = shop.call("secrets", "ls").output
    assert VALUE not in said.output + table
    holding = [asked for asked, body in bodies if VALUE.encode() in body]
    assert holding == ["POST /api/2.0/secrets/put"] * 2
    assert "Did you mean STORE_KEY?" in shop.call("secrets", "rm", "STORE_KEI", status=1).stderr
    shop.call("secrets", "rm", "STORE_KEY", "by-hand")
    assert stored(shop) == {}


def test_all_that_the_project_needs(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are set here, after asking, and with --from-local entries that only this machine has."""
    said = shop.call("secrets", "push")
    assert "This machine does not have STORE_KEY (for raw)." in said.stderr
    assert "Not pushed without --from-local: lake (only on this machine; for lake)." in said.stderr
    assert "nothing to push" in said.stdout
    failed = shop.call("secrets", "push", "--from-local", "--yes", status=1)
    assert "conf/local/credentials.yml cannot be read" in failed.stderr
    assert "STORE_KEY" in failed.stderr
    monkeypatch.setenv("STORE_KEY", VALUE)
    monkeypatch.setenv("REGION", "us")
    monkeypatch.setenv("UNUSED", "x")
    assert "Confirm with --yes" in shop.call("secrets", "push", status=1).stderr
    said = shop.call("secrets", "push", "--from-local", "--yes")
    assert VALUE not in said.output
    found = stored(shop)
    entry: Any = yaml.safe_load(found.pop("tiny-shop.credentials.lake"))
    assert entry == {"user": "me", "password": f"{VALUE} {VALUE}"}
    assert found == {"tiny-shop.STORE_KEY": VALUE, "tiny-shop.REGION": "us"}


def test_a_person_at_a_terminal(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types a value that is not shown, and is asked before a push."""
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("kedro_databricks_hybrid.cli.secrets.sys", terminal)
    said = shop.call("secrets", "set", "typed", input=f"{VALUE}\n").output
    assert "Value of typed: " in said
    assert VALUE not in said
    monkeypatch.setenv("STORE_KEY", VALUE)
    shop.call("secrets", "push", input="n\n", status=1)
    assert stored(shop) == {"tiny-shop.typed": VALUE}
    assert "Push STORE_KEY to the secret scope" in shop.call("secrets", "push", input="y\n").output
    assert stored(shop)["tiny-shop.STORE_KEY"] == VALUE


def test_what_is_missing_is_named_with_the_command(shop: Site) -> None:
    """By push and doctor, in one line; nothing is asked if no credentials are needed."""
    wanted = "STORE_KEY (for raw), lake (only on this machine; for lake)"
    command = "kedro databricks secrets push --from-local"
    assert (
        f"The secret scope tiny-shop lacks what credentials need: {wanted}. Type `{command}`."
        in shop.call("push").stderr
    )
    doctor = json.loads(shop.call("doctor", "--json", status=1).stdout.splitlines()[-1])
    (found,) = [each for each in doctor if each["check"] == "credentials"]
    assert (found["level"], found["found"], found["fix"]) == (
        "yellow", f"the secret scope tiny-shop lacks {wanted}", command
    )  # fmt: skip
    (shop.project / "conf/local").rename(shop.project / "conf/mine")
    args = "CONFIG_LOADER_ARGS = {'default_run_env': 'mine'}\n"
    settings = shop.project / "src/tiny_shop/settings.py"
    shop.commit(
        {"src/tiny_shop/settings.py": settings.read_text("utf-8") + args, ".gitignore": "conf/mine\n"}
    )
    assert f"lacks what credentials need: {wanted}." in shop.call("push").stderr
    shop.commit({"conf/databricks/credentials.yml": "store: {key: x}\nlake: ${databricks.secret:a,b}\n"})
    shop.requests.clear()
    assert "lacks what credentials need" not in shop.call("push").stderr
    assert not [each for each in shop.requests if "/secrets/" in each]


def test_a_scope_that_is_shared(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the project's own secrets are listed, changed and deleted."""
    client = shop.workspace().client.secrets
    client.create_scope("team")
    client.put_secret("team", "STORE_KEY", string_value="another project's")
    shop.commit({"conf/databricks/databricks.yml": (
        "data:\n  root: dbfs:/root/projects/tiny/data\nsecrets:\n  scope: team\n"
    )})  # fmt: skip
    assert listed(shop)["STORE_KEY"] is None
    monkeypatch.setenv("STORE_KEY", VALUE)
    shop.call("secrets", "set", "STORE_KEY")
    assert stored(shop, "team") == {"STORE_KEY": "another project's", "tiny-shop.STORE_KEY": VALUE}
    shop.call("secrets", "rm", "STORE_KEY")
    assert "has no secret STORE_KEY" in shop.call("secrets", "rm", "STORE_KEY", status=1).stderr
    assert stored(shop, "team") == {"STORE_KEY": "another project's"}
