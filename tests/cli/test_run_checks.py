"""Checks of push, status, doctor and run before anything starts: wrong names, missing inputs, broken code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kedro.framework.startup import bootstrap_project

from kedro_databricks_hybrid.cli import run_checks
from kedro_databricks_hybrid.databricks.clusters import VisibleCluster
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run.compute import Choice

if TYPE_CHECKING:
    from tests.site import Site

_PIPELINES = """\
from kedro.pipeline import node, pipeline


def same(x):
    return x


def register_pipelines():
    sales = pipeline([node(same, "raw", "sales", name="clean_sales", tags="daily", namespace="shop")])
    stock = pipeline([node(same, "other", "stock", name="count_stock")])
    return {"__default__": sales + stock, "sales": sales, "stock": stock}
"""
_REGISTRY = "src/tiny_shop/pipeline_registry.py"


_WRONG = {
    "--pipeline=sale": "The project has no pipeline sale. Did you mean sales?",
    "--pipelines=stock,zzz": "The project has no pipeline zzz. It has __default__, sales, stock.",
    "--nodes=count_stok": "The pipeline has no node 'count_stok'. Did you mean count_stock?",
    "--from-nodes=clean_sales": "The pipeline has no node 'clean_sales'. Did you mean shop.clean_sales?",
    "--tags=dayly": "The pipeline has no tag 'dayly'. Did you mean daily?",
    "--namespaces=shup": "The pipeline has no namespace 'shup'. Did you mean shop?",
    "--to-outputs=stocks": "The pipeline has no dataset 'stocks'. Did you mean stock?",
    "--pipelines=stock --tags=daily": "The pipeline has no tag 'daily'. It has none.",
    "--tags=daily --nodes=count_stock": "These options select nothing: Pipeline contains no nodes after",
}


def test_names_that_select_nothing_are_refused_here(site: Site) -> None:
    """A wrong pipeline, node or tag: nothing is started, and the hint is the nearest name."""
    site.commit({_REGISTRY: _PIPELINES})
    site.call("push", "--no-data")
    site.requests.clear()
    for options, said in _WRONG.items():
        failed = site.call("run", *options.split(), status=1)
        assert said in failed.stderr
        assert "commit" not in failed.stderr
    assert not [request for request in site.requests if "/contexts" in request or "/jobs" in request]


def told(site: Site, *command: str, status: int = 0) -> Any:
    """Return the JSON document of a command."""
    return json.loads(site.call(*command, "--json", status=status).stdout.splitlines()[-1])


def test_inputs_that_are_nowhere_are_named_with_the_nearest_file(site: Site) -> None:
    """Push, status and doctor name missing inputs with the nearest file; data on Databricks count."""
    site.commit({_REGISTRY: _PIPELINES, "conf/base/catalog.yml": (
        "raw:\n  type: pandas.CSVDataset\n  filepath: data/01_raw/rwa.csv\n"
        "other:\n  type: pandas.CSVDataset\n  filepath: data/02_none/other.csv\n"
    )})  # fmt: skip
    pushed = site.call("push")
    assert "neither here nor in dbfs:/root/projects/tiny/data: " in pushed.stderr
    assert "raw (01_raw/rwa.csv; there is 01_raw/raw.csv), other (02_none/other.csv)" in pushed.stderr
    assert (
        "Everything else in dbfs:/root/projects/tiny/data is up to date (0 files)" in site.call("push").stdout
    )
    assert told(site, "data", "push", "--dry-run")["missing"] == ["raw", "other"]
    assert told(site, "data", "push", "--dry-run", "--pipelines=stock")["missing"] == ["other"]
    assert (
        "missing here and there: raw (01_raw/rwa.csv; there is 01_raw/raw.csv), other"
        in site.call("status").stdout
    )
    (site.sandbox.layout.dbfs / "root/projects/tiny/data/02_none").mkdir()
    (site.sandbox.layout.dbfs / "root/projects/tiny/data/02_none/other.csv").write_text("a\n1\n")
    assert told(site, "status")["data"]["missing"] == ["raw"]
    found = [each["found"] for each in told(site, "doctor", status=1) if each["check"] == "inputs"]
    assert found == [
        "neither here nor in dbfs:/root/projects/tiny/data: raw (01_raw/rwa.csv; there is 01_raw/raw.csv)"
    ]


def test_a_run_on_compute_that_has_to_start_names_missing_inputs_first(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before compute starts, run names missing inputs; on a running cluster the driver does."""
    site.commit({"data/01_raw/raw.csv": None})
    project = open_project(bootstrap_project(site.project), "databricks").on(site.workspace())
    running = Choice(is_job=False, compute="cluster", cluster=VisibleCluster("1", "one", "RUNNING"))
    for choice, said in ((running, ""), (Choice(is_job=True, compute="job cluster"), "raw (01_raw/raw.csv)")):
        run_checks.warn_before_start(project, choice, {})
        assert said in capsys.readouterr().err


_WITH_PARAMS = "raw:\n  type: pandas.CSVDataset\n  filepath: data/01_raw/${runtime_params:country}.csv\n"


def test_the_catalog_is_read_with_the_params_of_the_run(site: Site) -> None:
    """`--params` gives the catalog's parameters; without a required one, the error says how."""
    site.commit({"conf/base/catalog.yml": _WITH_PARAMS, "data/01_raw/fr.csv": "a\n1\n"})
    refused = site.call("push", status=1)
    assert "Give its value with --params" in refused.stderr
    assert "--params" in site.call("status").stdout
    assert "Give its value with --params" in site.call("catalog", status=1).stderr
    params = "--params=country=fr"
    assert "01_raw/fr.csv" in str(told(site, "status", params)["data"]["upload"])
    assert told(site, "push", params)["data"]["sent"] == 1
    assert [row["paths"] for row in told(site, "catalog", params)] == [
        {"local": ["data/01_raw/fr.csv"], "databricks": ["/dbfs/root/projects/tiny/data/01_raw/fr.csv"]}
    ]
    assert "each is here or in" in site.call("doctor", params, status=1).stdout
    assert told(site, "data", "ls", params, "--pipelines=__default__")[0]["path"] == "01_raw/fr.csv"


def test_the_catalog_is_read_in_the_env_of_the_run(site: Site) -> None:
    """The env's catalog decides which inputs are pushed."""
    site.commit({
        _REGISTRY: _PIPELINES,
        "conf/databricks/catalog.yml": "raw:\n  type: pandas.CSVDataset\n  filepath: /Volumes/a/b/c/d\n",
        "conf/fr/databricks.yml": "data:\n  root: dbfs:/root/projects/tiny-fr/data\n",
        "conf/fr/catalog.yml": "other:\n  type: pandas.CSVDataset\n  filepath: data/01_raw/fr.csv\n",
        "data/01_raw/fr.csv": "a\n1\n",
    })  # fmt: skip
    assert told(site, "data", "push", "--dry-run")["send"] == []
    assert told(site, "data", "push", "--dry-run", "--env=fr")["send"] == ["01_raw/fr.csv", "01_raw/raw.csv"]


def test_pipelines_that_cannot_be_imported_here_are_named(site: Site) -> None:
    """A pipeline cannot be imported: push, status and doctor name it, as its inputs are unknown."""
    site.commit({
        _REGISTRY: "from kedro.framework.project import find_pipelines\n\n\ndef register_pipelines():\n"
        "    found = find_pipelines()\n    return {**found, '__default__': sum(found.values())}\n",
        "src/tiny_shop/pipelines/sales/__init__.py": "import no_such_library\n",
    })  # fmt: skip
    said = "tiny_shop.pipelines.sales"
    reason = "ModuleNotFoundError: No module named 'no_such_library'"
    assert f"{said} cannot be imported here ({reason})" in site.call("push").stderr
    assert told(site, "status")["data"]["unknown"] == {said: reason}
    found = [each["found"] for each in told(site, "doctor", status=1) if each["check"] == "inputs"]
    assert found[0].startswith(f"{said} cannot be imported here")


def test_settings_that_cannot_be_imported_are_reported_as_that(site: Site) -> None:
    """settings.py cannot be imported: catalog, push and doctor say so, unlike Kedro."""
    site.commit({"src/tiny_shop/settings.py": "import no_such_library\n"})
    said = "tiny_shop/settings.py cannot be imported: ModuleNotFoundError: No module named 'no_such_library'"
    assert said in site.call("catalog", status=1).stderr
    assert said in site.call("push", status=1).stderr
    doctor = {each["check"]: each for each in told(site, "doctor", status=1)}
    assert (doctor["settings.py"]["level"], doctor["settings.py"]["found"]) == ("red", f"{said}.")


def test_an_env_that_is_not_in_the_commit_is_refused_at_once(site: Site) -> None:
    """The env is not in the commit: push and run refuse it; a snapshot of the working tree has it."""
    site.git("rm", "-r", "-q", "--cached", "conf/databricks")
    site.git("commit", "-q", "-m", "Forgotten")
    said = "conf/databricks is not in the commit"
    refused = site.call("push", status=1).stderr
    assert said in refused
    assert "Run `git add conf/databricks`, commit, then push." in refused
    assert site.requests == []
    site.git("push", "-q", "origin", "main")
    site.call("push", "--env=local", "--no-data")
    assert said in site.call("run", status=1).stderr
    site.write({".gitignore": "conf/databricks/\n"})
    assert "`git add --force conf/databricks`" in site.call("run", status=1).stderr
    site.write({".gitignore": "conf/local/\n"})
    site.call("push", "--wip", "--no-data")
    assert site.repository.has_folder(str(site.repo().head_commit_id), "conf/databricks")


def test_a_data_root_that_is_not_committed_is_refused(site: Site) -> None:
    """After init without a commit, push and run say so: results would be written into the Git folder."""
    file = "conf/databricks/databricks.yml"
    with_root = (site.project / file).read_text("utf-8")
    site.commit({file: "data:\n"})
    site.write({file: with_root})
    said = "has no data root, and only commits reach Databricks. Run `git add conf`, commit, then push."
    assert said in site.call("push", status=1).stderr
    assert site.requests == []
    site.call("push", "--wip", "--no-data")
    site.git("push", "-q", "origin", "main")
    site.call("push", "--env=local", "--no-data")
    assert said in site.call("run", status=1).stderr


def test_kedros_variables_apply_to_the_run(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KEDRO_LOGGING_CONFIG becomes relative to the project; a file outside of it is named as ignored."""
    project = open_project(bootstrap_project(site.project), "databricks").on(site.workspace())
    site.commit({"conf/other.yml": "version: 1\n"})
    monkeypatch.chdir(site.project / "conf")
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", "other.yml")
    monkeypatch.setenv("KEDRO_MP_CONTEXT", "spawn")
    assert run_checks.variables(project) == {
        "KEDRO_LOGGING_CONFIG": "conf/other.yml",
        "KEDRO_MP_CONTEXT": "spawn",
    }
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", "/nowhere/logging.yml")
    assert run_checks.variables(project) == {"KEDRO_MP_CONTEXT": "spawn"}
    assert "KEDRO_LOGGING_CONFIG has no effect on Databricks" in capsys.readouterr().err


def test_paths_that_stay_in_the_git_folder_are_named(site: Site) -> None:
    """Push names paths that are not mapped; doctor and init name fixed DBFS paths with the line to change."""
    site.commit({
        _REGISTRY: _PIPELINES,
        "conf/base/catalog.yml": (
            "raw:\n  type: pandas.CSVDataset\n  filepath: /dbfs/FileStore/tiny/data/01_raw/raw.csv\n"
            "# other: /dbfs/FileStore/tiny/data/01_raw/raw.csv\n"
            "sales:\n  type: pandas.CSVDataset\n  filepath: output/sales.csv\n"
            "stock:\n  type: pandas.ExcelDataset\n  filepath: data/stock.xlsx\n  load_args: {sheet: data/x}\n"
        ),
    })  # fmt: skip
    said = (
        "lie in the Git folder, as they are not mapped: output/sales.csv (sales, filepath), data/x (stock, "
    )
    assert said in site.call("push").stderr
    change = "catalog.yml, line 3: change /dbfs/FileStore/tiny/data/01_raw/raw.csv to data/01_raw/raw.csv"
    assert f"In conf/base/{change}." in site.call("init", "--dry-run", "--yes").stderr
    (found,) = (each for each in told(site, "doctor", status=1) if each["check"] == "catalog")
    assert (found["level"], found["fix"]) == ("yellow", f"conf/base/{change}")
