"""The documented behaviour of OmegaConfigLoader, tested on Kedro's loader and on DatabricksConfigLoader."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, UnsupportedInterpolationType
from omegaconf.resolvers import oc

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader
from tests.project_fixtures import clean_process, make_project, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:\\s*register_new_resolver")

Load = Callable[..., OmegaConfigLoader]
KEDROS_ARGS = {"base_env": "base", "default_run_env": "local"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_process(monkeypatch)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A conf folder with Kedro's two usual envs."""
    write_files(tmp_path / "conf", {"base/": "", "local/": ""})
    return tmp_path / "conf"


@pytest.fixture(params=[OmegaConfigLoader, DatabricksConfigLoader], ids=["kedro", "ours"])
def load(request: pytest.FixtureRequest, conf: Path) -> Load:
    """Return a loader of the conf folder, created with the arguments of a Kedro session."""

    def make(env: str | None = None, **options: Any) -> OmegaConfigLoader:
        source = options.pop("conf_source", str(conf))
        loader: OmegaConfigLoader = request.param(conf_source=source, env=env, **{**KEDROS_ARGS, **options})
        return loader

    return make


def test_the_env_overrides_top_level_keys(conf: Path, load: Load) -> None:
    """The default strategy is destructive: a key in the env replaces the whole key of the base."""
    write_files(
        conf,
        {
            "base/parameters.yml": "model: {a: 1, b: 2}\nkept: 3",
            "local/parameters.yml": "model: {a: 9}",
            "prod/parameters.yml": "model: {b: 8}",
        },
    )
    assert load()["parameters"] == {"model": {"a": 9}, "kept": 3}
    assert load("prod")["parameters"] == {"model": {"b": 8}, "kept": 3}
    assert load("base")["parameters"] == {"model": {"a": 1, "b": 2}, "kept": 3}


def test_the_soft_strategy_merges_below_the_top(conf: Path, load: Load) -> None:
    """merge_strategy is set for each kind of configuration."""
    write_files(
        conf,
        {
            "base/parameters.yml": "model: {a: 1, b: 2}",
            "local/parameters.yml": "model: {a: 9}",
            "base/catalog.yml": "x: {type: MemoryDataset, metadata: {a: 1}}",
            "local/catalog.yml": "x: {type: MemoryDataset, copy_mode: assign}",
        },
    )
    loader = load(merge_strategy={"parameters": "soft"})
    assert loader["parameters"] == {"model": {"a": 9, "b": 2}}
    assert loader["catalog"] == {"x": {"type": "MemoryDataset", "copy_mode": "assign"}}


def test_an_unknown_strategy_is_an_error(conf: Path, load: Load) -> None:
    """The message names the strategies that exist."""
    write_files(conf, {"base/parameters.yml": "a: 1"})
    with pytest.raises(ValueError, match="The accepted merging strategies"):
        load(merge_strategy={"parameters": "hard"})["parameters"]


def test_runtime_parameters_come_last(conf: Path, load: Load) -> None:
    """--params overrides all files."""
    write_files(conf, {"base/parameters.yml": "model: {a: 1}\nb: 2", "local/parameters.yml": "c: 3"})
    loader = load(runtime_params={"model": {"a": 7}, "c": 4})
    assert loader["parameters"] == {"model": {"a": 7}, "b": 2, "c": 4}


def test_the_runtime_params_resolver(conf: Path, load: Load) -> None:
    """A catalog can use a value of --params, with a default."""
    write_files(
        conf,
        {
            "base/catalog.yml": """\
                x:
                  type: "${runtime_params:kind, pandas.CSVDataset}"
                  filepath: "${runtime_params:folder}/x.csv"
                """
        },
    )
    entry = load(runtime_params={"folder": "data/new"})["catalog"]["x"]
    assert entry == {"type": "pandas.CSVDataset", "filepath": "data/new/x.csv"}
    with pytest.raises(InterpolationResolutionError, match="folder"):
        load()["catalog"]


def test_globals(conf: Path, load: Load) -> None:
    """globals.yml is merged over envs and read through its resolver, with defaults."""
    write_files(
        conf,
        {
            "base/globals.yml": "bucket: s3://base\nnested: {deep: [1, 2]}",
            "local/globals.yml": "bucket: s3://local",
            "base/parameters.yml": """\
                bucket: ${globals:bucket}
                deep: ${globals:nested.deep}
                other: ${globals:missing, 5}
                """,
        },
    )
    assert load()["parameters"] == {"bucket": "s3://local", "deep": [1, 2], "other": 5}
    write_files(conf, {"base/parameters.yml": "a: ${globals:missing}"})
    with pytest.raises(InterpolationResolutionError, match="Globals key 'missing' not found"):
        load()["parameters"]


def test_globals_must_not_depend_on_a_run(conf: Path, load: Load) -> None:
    """runtime_params is refused in globals, and works again afterwards."""
    write_files(conf, {"base/globals.yml": "a: ${runtime_params:a}"})
    with pytest.raises(UnsupportedInterpolationType, match="not supported for globals"):
        load(runtime_params={"a": 1})


def test_templates_and_hidden_keys(conf: Path, load: Load) -> None:
    """A key that begins with an underscore is only for interpolation and is removed."""
    write_files(
        conf,
        {
            "base/catalog_shared.yml": "_folder: data/01_raw\n_args: {sep: ';'}",
            "base/catalog.yml": """\
                x: {type: pandas.CSVDataset, filepath: "${_folder}/x.csv", load_args: "${_args}"}
                "{name}_csv": {type: pandas.CSVDataset, filepath: "${_folder}/{name}.csv"}
                """,
        },
    )
    assert load()["catalog"] == {
        "x": {"type": "pandas.CSVDataset", "filepath": "data/01_raw/x.csv", "load_args": {"sep": ";"}},
        "{name}_csv": {"type": "pandas.CSVDataset", "filepath": "data/01_raw/{name}.csv"},
    }


def test_files_of_one_kind_are_found_by_pattern(conf: Path, load: Load) -> None:
    """Prefix, folder and nested files, YAML and JSON; hidden ones are left out."""
    write_files(
        conf,
        {
            "base/catalog_a.yml": "a: {type: MemoryDataset}",
            "base/catalog/deep/b.yaml": "b: {type: MemoryDataset}",
            "base/nested/catalog_c.json": '{"c": {"type": "MemoryDataset"}}',
            "base/.hidden/catalog.yml": "d: {type: MemoryDataset}",
            "base/catalog.txt": "e: {type: MemoryDataset}",
        },
    )
    assert sorted(load()["catalog"]) == ["a", "b", "c"]


def test_patterns_of_a_projects_own(conf: Path, load: Load) -> None:
    """config_patterns adds kinds and replaces known ones, also those of DatabricksConfigLoader."""
    write_files(conf, {"base/mlflow_x.yml": "a: 1", "base/engine.yml": "b: 2", "base/spark.yml": "c: 3"})
    loader = load(config_patterns={"mlflow": ["mlflow*"], "spark": ["engine*"]})
    assert loader["mlflow"] == {"a": 1}
    assert loader["spark"] == {"b": 2}
    assert {"mlflow", "spark", "catalog", "parameters", "credentials", "globals"} <= set(loader.keys())


def test_a_kind_that_nobody_declared(load: Load) -> None:
    """KeyError, and get() with its default."""
    with pytest.raises(KeyError, match="No config patterns were found for 'airflow'"):
        load()["airflow"]
    assert load().get("airflow", {"a": 1}) == {"a": 1}


def test_a_kind_without_files(load: Load) -> None:
    """MissingConfigException, which the context turns into a warning."""
    with pytest.raises(MissingConfigException, match="No files of YAML or JSON format found"):
        load()["catalog"]


def test_duplicate_keys_are_an_error(conf: Path, load: Load) -> None:
    """Two files of one env must not give the same key."""
    write_files(conf, {"base/catalog_a.yml": "x: {type: A}", "base/catalog_b.yml": "x: {type: B}"})
    with pytest.raises(ValueError, match=r"Duplicate keys found in .*: x"):
        load()["catalog"]


def test_broken_yaml_is_an_error(conf: Path, load: Load) -> None:
    """The file and the line are named."""
    write_files(conf, {"base/catalog.yml": "x: ["})
    with pytest.raises(Exception, match=r"Invalid YAML or JSON file .*catalog\.yml, unable to read line"):
        load()["catalog"]


def test_an_env_that_does_not_exist(conf: Path, load: Load) -> None:
    """The missing folder is named."""
    write_files(conf, {"base/catalog.yml": "x: {type: MemoryDataset}"})
    with pytest.raises(MissingConfigException, match="nowhere"):
        load("nowhere")["catalog"]


def test_values_that_are_set_bypass_files(conf: Path, load: Load) -> None:
    """Tests and notebooks set configuration directly."""
    write_files(conf, {"base/parameters.yml": "a: 1"})
    loader = load()
    loader["parameters"] = {"a": 2}
    loader["globals"] = {"g": 3}
    write_files(conf, {"base/catalog.yml": "x: {type: MemoryDataset, metadata: '${globals:g}'}"})
    assert loader["parameters"] == {"a": 2}
    assert loader["catalog"]["x"]["metadata"] == 3


def test_environment_variables_are_for_credentials(
    conf: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oc.env works in credentials and nowhere else."""
    monkeypatch.setenv("SHOP_KEY", "hush")
    write_files(
        conf,
        {
            "local/credentials.yml": "dev: {key: '${oc.env:SHOP_KEY}'}",
            "base/parameters.yml": "key: ${oc.env:SHOP_KEY}",
        },
    )
    assert load()["credentials"] == {"dev": {"key": "hush"}}
    with pytest.raises(UnsupportedInterpolationType, match=r"oc\.env"):
        load()["parameters"]


def test_custom_resolvers(conf: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions of the project, including OmegaConf's oc.env, as in Kedro's guide."""
    monkeypatch.setenv("SHOP_KEY", "hush")
    write_files(
        conf,
        {
            "base/parameters.yml": """\
                sum: ${kedro_doc_add:1,2,3}
                today: ${kedro_doc_today:}
                env: ${oc.env:SHOP_KEY}
                """
        },
    )
    resolvers: dict[str, Callable[..., Any]] = {
        "kedro_doc_add": lambda *numbers: sum(numbers),
        "kedro_doc_today": lambda: date(2024, 2, 29),
        "oc.env": oc.env,
    }
    assert load(custom_resolvers=resolvers)["parameters"] == {
        "sum": 6,
        "today": date(2024, 2, 29),
        "env": "hush",
    }
    OmegaConf.clear_resolver("oc.env")


def test_python_objects_from_a_resolver(conf: Path, load: Load) -> None:
    """A catalog can contain classes and functions that a resolver returns."""
    write_files(conf, {"base/catalog.yml": "x: {type: MemoryDataset, metadata: '${kedro_doc_type:}'}"})
    loader = load(custom_resolvers={"kedro_doc_type": lambda: int})
    assert loader["catalog"]["x"]["metadata"] is int


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives(conf: Path, tmp_path: Path, load: Load, kind: str) -> None:
    """--conf-source accepts the archive of `kedro package`."""
    write_files(conf, {"base/parameters.yml": "a: 1", "local/parameters.yml": "a: 2"})
    archive = tmp_path / f"conf-shop.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for folder in (conf, conf / "base", conf / "local"):
                zipped.write(folder, folder.relative_to(tmp_path))
            for each in sorted(conf.rglob("*.yml")):
                zipped.write(each, each.relative_to(tmp_path))
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(conf, arcname="conf")
    assert load(conf_source=str(archive))["parameters"] == {"a": 2}


def test_other_names_for_the_envs(conf: Path, load: Load) -> None:
    """CONFIG_LOADER_ARGS can rename base and local."""
    write_files(conf, {"shared/parameters.yml": "a: 1\nb: 1", "mine/parameters.yml": "a: 2"})
    assert load(base_env="shared", default_run_env="mine")["parameters"] == {"a": 2, "b": 1}


@pytest.mark.parametrize("arguments", ["", 'CONFIG_LOADER_ARGS = {"config_patterns": {"x": ["x*"]}}\n'])
def test_a_projects_arguments_need_not_name_the_base(tmp_path: Path, arguments: str) -> None:
    """CONFIG_LOADER_ARGS replaces Kedro's arguments with base_env; the loader sets its default."""
    project = make_project(tmp_path)
    path = project.path / "src/tiny_shop/settings.py"
    path.write_text(path.read_text() + arguments)
    project.write({"conf/local/catalog.yml": "raw: {type: pandas.CSVDataset, filepath: data/01_raw/raw.csv}"})
    project.run()
    assert (project.path / "data/02_intermediate/doubled.csv").is_file()
