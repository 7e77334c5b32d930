"""Projects whose settings.py, files or data are not where a new project has them: each command says so."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.cli import run_checks
from kedro_databricks_hybrid.databricks.clusters import VisibleCluster
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import unsent_code
from kedro_databricks_hybrid.project.datasets import conf_folder
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run.compute import Choice
from tests.project_fixtures import forget_project

if TYPE_CHECKING:
    from tests.site import Site

_SETTINGS = "src/tiny_shop/settings.py"
_CATALOG = "conf/base/catalog.yml"
_OURS = "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader\n"
_OWN_LOADER = """\
from kedro.config import OmegaConfigLoader


class ShopLoader(OmegaConfigLoader):
    def __init__(self, conf_source, env=None, runtime_params=None, **options):
        super().__init__(conf_source, env, runtime_params, custom_resolvers={"own": str.upper}, **options)


"""


def told(site: Site, *command: str, status: int = 0) -> Any:
    """Return the JSON document of a command."""
    return json.loads(site.call(*command, "--json", status=status).stdout.splitlines()[-1])


@pytest.mark.parametrize("conf", ["configuration", "etc/kedro"])
def test_another_folder_of_the_configuration(site: Site, conf: str) -> None:
    """Every command that reads or writes it asks the settings; so does one whose settings fail here."""
    (site.project / conf).parent.mkdir(exist_ok=True)
    site.git("mv", "conf", conf)
    settings = f"{_OURS}\nCONFIG_LOADER_CLASS = DatabricksConfigLoader\nCONF_SOURCE = {conf!r}\n"
    site.commit({_SETTINGS: settings, ".gitignore": "__pycache__/\n"})
    assert "dbfs:/root/projects/tiny/data" in site.call("push", "--env=databricks").stdout
    assert "has no tag 'nope'" in site.call("run", "--env=databricks", "--tags=nope", status=1).stderr
    refused = site.call("run", "--env=databrick", status=1).stderr
    assert f"{conf}/databrick does not exist. Did you mean databricks?" in refused
    assert told(site, "catalog")[0]["paths"]["databricks"] == ["/dbfs/root/projects/tiny/data/01_raw/raw.csv"]
    assert "Did you mean databricks?" in site.call("catalog", "--env=databrick", status=1).stderr
    assert "--env=databricks" in site.call("notebook").output + site.project.joinpath(
        "notebooks/run_on_databricks.py"
    ).read_text("utf-8")
    site.git("rm", "-q", f"{conf}/databricks/databricks.yml")
    said = site.call("init", "--yes", "--dry-run").stdout
    assert f"Would write {conf}/databricks/databricks.yml" in said
    assert f"+{conf}/local/**" in said
    assert "conf/base" not in said.replace(conf, "")
    site.write({_SETTINGS: f"{settings}import no_such_library\n"})
    forget_project()
    assert conf_folder(bootstrap_project(site.project)) == site.project / conf


def test_the_option_conf_source_counts_for_the_settings_too(site: Site) -> None:
    """A folder here has the settings of the run; anything else is known on Databricks alone."""
    site.commit({"other/databricks/databricks.yml": ""})
    metadata = bootstrap_project(site.project)
    with pytest.raises(SettingsError, match=r"Set data\.root in other/databricks/databricks\.yml"):
        open_project(metadata, None, "other").on(site.workspace()).data_root  # noqa: B018
    site.commit({"other/databricks/databricks.yml": "data:\n  root: dbfs:/root/projects/other/data\n"})
    roots = [open_project(metadata, None, given).settings.data.root for given in ("other", "gone.zip", None)]
    assert [root and root.split("/")[3] for root in roots] == ["other", "tiny", "tiny"]


def test_another_config_loader(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Push, run and doctor say what it means; ours as a mixin ends that, as does a catalog of the env."""
    own = f"{_OWN_LOADER}CONFIG_LOADER_CLASS = ShopLoader\n"
    site.commit({_SETTINGS: own})
    said = "sets the config loader ShopLoader, which does not map paths to the data root"
    two_ways = ("class Loader(DatabricksConfigLoader, ShopLoader): pass", "conf/databricks/catalog.yml")
    project = open_project(bootstrap_project(site.project), None).on(site.workspace())
    running = Choice(is_job=False, compute="cluster", cluster=VisibleCluster("1", "one", "RUNNING"))
    run_checks.warn_before_start(project, running, {})
    for told_by in (capsys.readouterr().err, site.call("push").stderr):
        assert said in told_by
        assert "data/01_raw/raw.csv" in told_by
        assert all(each in told_by for each in two_ways)
    assert all(each in _doctor(site)["fix"] for each in two_ways)
    assert _doctor(site)["level"] == "red"
    assert two_ways[0] in site.call("init", "--dry-run", "--yes").stderr
    catalog = (site.project / _CATALOG).read_text("utf-8").replace("data/", "/dbfs/root/projects/tiny/data/")
    site.commit({"conf/databricks/catalog.yml": catalog})
    assert said not in site.call("push").stderr
    assert _doctor(site)["level"] == "yellow"
    mixed = f"{_OURS}{_OWN_LOADER}class Loader(DatabricksConfigLoader, ShopLoader): pass\n\n\n"
    site.commit({
        _SETTINGS: f"{mixed}CONFIG_LOADER_CLASS = Loader\n",
        "conf/databricks/catalog.yml": None,
        _CATALOG: "raw:\n  type: pandas.${own:csv}Dataset\n  filepath: data/01_raw/raw.csv\n",
    })  # fmt: skip
    assert said not in site.call("push").stderr
    assert _doctor(site)["level"] == "green"
    (row,) = told(site, "catalog", "--env=databricks")
    assert (row["type"], row["paths"]["databricks"]) == (
        "pandas.CSVDataset",
        ["/dbfs/root/projects/tiny/data/01_raw/raw.csv"],
    )


def _doctor(site: Site) -> dict[str, str]:
    found: dict[str, str] = next(
        each for each in told(site, "doctor", status=1) if each["check"] == "settings.py"
    )
    return found


def test_code_that_is_here_but_not_in_the_commit(site: Site) -> None:
    """Push names ignored modules that the project imports; a failed run says why one is missing there."""
    site.commit({
        ".gitignore": "__pycache__/\n/conf/local/\n*loader.py\n",
        "src/tiny_shop/pipeline_registry.py": (
            "from tiny_shop import loader\nfrom kedro.pipeline import node, pipeline\n\n\n"
            "def register_pipelines():\n"
            "    return {'__default__': pipeline([node(loader.same, 'raw', 'doubled')])}\n"
        ),
        "src/tiny_shop/loader.py": "def same(x):\n    return x\n",
    })  # fmt: skip
    said = site.call("push").stderr
    assert "does not get them: src/tiny_shop/loader.py (.gitignore, line 3: *loader.py)" in said
    commit = site.git("rev-parse", "HEAD")
    site.write({"src/tiny_shop/new/__init__.py": ""})
    project = open_project(bootstrap_project(site.project), None)
    missing = "ModuleNotFoundError: No module named 'tiny_shop.{}'"
    cases = {
        missing.format("loader"): (
            f"src/tiny_shop/loader.py is here, but not in the commit {commit[:7]}: .gitignore, line 3: "
            "*loader.py leaves it out. Run `git add --force src/tiny_shop/loader.py`, commit, then push and "
            "run again."
        ),
        "ImportError: cannot import name 'new' from 'tiny_shop' (/x/__init__.py)": (
            f"src/tiny_shop/new/__init__.py is here, but not in the commit {commit[:7]}. "
            "Run `git add src/tiny_shop/new/__init__.py`, commit, then push and run again."
        ),
        missing.format("gone"): None,
        missing.format("settings"): None,
        "ValueError: no": None,
    }
    assert {error: unsent_code.next_step(project, error, commit) for error in cases} == cases
    site.commit({})
    later = unsent_code.next_step(project, missing.format("new"), commit)
    assert later == "src/tiny_shop/new/__init__.py is in a later commit: push, then run again."
    files = SimpleNamespace(
        metadata=project.metadata, repository=project.repository, conf=project.conf, syncs_files=True
    )
    ignored: Any = unsent_code.next_step(files, missing.format("loader"), commit)  # type: ignore[arg-type]
    assert "line 3: *loader.py) is here, but not in what push sends" in ignored


def test_inputs_outside_of_the_data_folder(site: Site) -> None:
    """Push and doctor name those that nothing brings to Databricks, and say what would."""
    (site.project.parent / "shared").mkdir()
    (site.project.parent / "shared/y.csv").write_text("a\n1\n")
    site.commit({".gitignore": "__pycache__/\n/conf/local/\n/raw/\n", "kept/k.csv": "a\n1\n"})
    entries = {"raw": "raw/z.csv", "y": "../shared/y.csv", "k": "kept/k.csv"}
    site.write({"raw/z.csv": "a\n1\n"})
    site.commit({
        _CATALOG: "".join(
            f"{name}:\n  type: pandas.CSVDataset\n  filepath: {path}\n" for name, path in entries.items()
        ),
        "src/tiny_shop/pipeline_registry.py": (
            "from kedro.pipeline import node, pipeline\n\n\ndef first(*tables):\n    return tables[0]\n\n\n"
            "def register_pipelines():\n"
            "    return {'__default__': pipeline([node(first, ['raw', 'y', 'k'], 'doubled')])}\n"
        ),
    })  # fmt: skip
    said = site.call("push").stderr
    assert (
        "neither in data/ nor in Git, so they do not reach Databricks: raw/z.csv (raw), ../shared/y.csv (y)."
        in said
    )
    assert "add their folder to data.folders in databricks.yml" in said
    found = [each["found"] for each in told(site, "doctor", status=1) if each["check"] == "inputs"]
    assert found[0] == "neither in a data folder nor in Git: raw/z.csv (raw), ../shared/y.csv (y)"


def test_further_data_folders(site: Site) -> None:
    """They are sent, mapped, listed and pulled as the data folder is, and each stays apart."""
    shared = site.project.parent / "shared"
    shared.mkdir()
    (shared / "y.csv").write_text("a\n1\n")
    folders = "data:\n  folders: [raw, ../shared]\n"
    site.write({"raw/deep/z.csv": "a\n2\n"})
    site.commit({
        ".gitignore": "__pycache__/\n/conf/local/\n/raw/\n/data/.kedro-hybrid/\n",
        "conf/base/databricks.yml": (site.project / "conf/base/databricks.yml").read_text("utf-8") + folders,
        _CATALOG: (
            "raw: {type: pandas.CSVDataset, filepath: raw/deep/z.csv}\n"
            "y: {type: pandas.CSVDataset, filepath: ../shared/y.csv}\n"
            "doubled: {type: pandas.CSVDataset, filepath: raw/out.csv}\n"
        ),
        "src/tiny_shop/pipeline_registry.py": (
            "from kedro.pipeline import node, pipeline\n\n\ndef first(*tables):\n    return tables[0]\n\n\n"
            "def register_pipelines():\n"
            "    return {'__default__': pipeline([node(first, ['raw', 'y'], 'doubled')])}\n"
        ),
    })  # fmt: skip
    assert told(site, "status")["data"]["upload"] == ["raw/deep/z.csv", "../shared/y.csv"]
    said = site.call("push")
    assert "neither in" not in said.stderr
    root = site.sandbox.layout.dbfs / "root/projects/tiny/data"
    assert (root / "raw/deep/z.csv").read_text() == "a\n2\n"
    assert (root / "shared/y.csv").read_text() == "a\n1\n"
    there = {row["dataset"]: row["paths"]["databricks"][0] for row in told(site, "catalog")}
    assert there["doubled"] == "/dbfs/root/projects/tiny/data/raw/out.csv"
    assert there["y"] == "/dbfs/root/projects/tiny/data/shared/y.csv"
    (root / "raw/out.csv").write_text("a\n3\n")
    assert {row["path"]: row["state"] for row in told(site, "data", "ls")} == {
        "01_raw/raw.csv": "only here",
        "raw/deep/z.csv": "same",
        "raw/out.csv": "only there",
        "../shared/y.csv": "same",
    }
    site.call("data", "pull", "--all")
    assert (site.project / "raw/out.csv").read_text() == "a\n3\n"
    assert not (site.project / "data/raw").exists()
    site.write({"data/raw/x.csv": "a\n"})
    assert "data/raw and raw of data.folders would be one" in site.call("push", status=1).stderr
