"""Generate small random Kedro projects: pipelines, catalogs, hooks, logging and options of a run."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.project_fixtures import PACKAGE, make_project
from tests.run.test_project_logging import CONFIGURATIONS

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.project_fixtures import Project

# Each kind of dataset: the form of its data, and its configuration without the path.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "csv": ("frame", "csv", {"type": "pandas.CSVDataset", "save_args": {"index": False}}),
    "parquet": ("frame", "parquet", {"type": "pandas.ParquetDataset"}),
    "table": ("frame", "json", {"type": "pandas.JSONDataset"}),
    "cached": ("frame", "csv", {"type": "CachedDataset", "dataset": {"type": "pandas.CSVDataset"}}),
    "json": ("mapping", "json", {"type": "json.JSONDataset"}),
    "yaml": ("mapping", "yml", {"type": "yaml.YAMLDataset"}),
    "versioned": ("mapping", "json", {"type": "json.JSONDataset", "versioned": True}),
    "text": ("text", "txt", {"type": "text.TextDataset"}),
    "pickle": ("thing", "pkl", {"type": "pickle.PickleDataset"}),
    "parts": ("parts", "", {"type": "partitions.PartitionedDataset", "dataset": "pandas.CSVDataset"}),
    "memory": ("thing", "", {"type": "MemoryDataset"}),
    "none": ("frame", "", {}),
}
_WORK = """\
import logging
import os
import subprocess
import sys
import warnings

import click
import pandas as pd

log = logging.getLogger(__name__)
library = logging.getLogger("a_library.deep")
CALLS = []


def number(value):
    if callable(value):
        return number(value())
    if isinstance(value, pd.DataFrame):
        return int(value.select_dtypes("number").sum().sum())
    if isinstance(value, dict):
        return sum(number(each) for _, each in sorted(value.items(), key=repr))
    if isinstance(value, (list, tuple)):
        return sum(map(number, value))
    return len(value) if isinstance(value, str) else int(value or 0)


def made(form, n):
    frame = pd.DataFrame({"a": [n, n + 1], "b": ["x" * (n % 5), "y"]})
    return {
        "frame": frame,
        "mapping": {"n": n, "list": [n, str(n)]},
        "text": f"text {n}\\n",
        "thing": ("thing", n),
        "parts": {"one": frame, "two": frame},
    }[form]
"""
# Side effects of nodes; those of the second group only if nodes run one after the other.
_EFFECTS = (
    'print("print of {name}", flush=True)',
    'print("to stderr by {name}", file=sys.stderr, flush=True)',
    'log.info("info of %s", "{name}")',
    'log.debug("debug of {name}"); library.error("library in {name}")',
    'log.warning("{name} has [a;b] and [bold]markup[/bold]")',
    'log.info("%s literally", "[{name};x]", extra={{"markup": False}})',
    'warnings.warn("warning of {name}", stacklevel=1)',
    'sys.stdout.write("no line break "); print("in {name}", flush=True)',
    'click.echo(b"bytes of {name}")',
    'sys.stdout.flush(); os.write(1, b"descriptor of {name}\\n")',
    'sys.stdout.flush(); subprocess.run(["echo", "child of {name}"], check=True)',
)
_ALONE = (
    'CALLS.append(1); print("calls:", len(CALLS), flush=True)',
    'print("variable:", os.environ.setdefault("GENERATED", "{name}"), flush=True)',
    'print(open("pyproject.toml").readline().strip(), flush=True)',
)
_ENDS = ('raise ValueError("end in {name}")', "sys.exit(3)", "undefined_in_{variable}")
_HOOKS = """\
import logging

from kedro.framework.hooks import hook_impl

log = logging.getLogger(__name__)


class Hooks:
    @hook_impl
    def before_pipeline_run(self, pipeline, catalog):
        print("before", len(pipeline.nodes), flush=True)

    @hook_impl
    def before_node_run(self, node, inputs):
        return {name: {**value, "hooked": 5} for name, value in inputs.items() if isinstance(value, dict)
                and "n" in value}

    @hook_impl
    def after_dataset_saved(self, dataset_name):
        log.info("saved %s", dataset_name)

    @hook_impl
    def on_pipeline_error(self, error):
        print("failed:", type(error).__name__, flush=True)
"""


@dataclass
class Generated:
    """A project and how it is run.

    Args:
        files: Its files.
        command: The options of the run.
        is_ordered: Whether its nodes run one after the other.
    """

    files: dict[str, str] = field(default_factory=dict)
    command: str = ""
    is_ordered: bool = True

    def make(self, folder: Path) -> Project:
        """Write the project."""
        return make_project(folder).write(self.files)


def generate(random: Random) -> Generated:
    """Return a project and options of its run, the same for the same random numbers."""
    return _Generator(random).generate()


class _Generator:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._catalog: dict[str, dict[str, object]] = {}
        self._nodes: list[str] = []
        self._functions: list[str] = []
        self._names: list[str] = []

    def generate(self) -> Generated:
        random = self._random
        runner = random.choice(["", "", "ThreadRunner", "ParallelRunner"])
        available = ["raw", "params:size", "parameters"]
        for index in range(random.randint(2, 6)):
            available += self._node(index, available, is_ordered=not runner)
        files = {
            f"src/{PACKAGE}/work.py": "\n\n".join([_WORK, *self._functions]),
            f"src/{PACKAGE}/pipeline_registry.py": self._registry(),
            "conf/base/catalog.yml": self._catalog_text(),
            "conf/base/parameters.yml": yaml.safe_dump(
                {"size": random.randint(1, 9), "nested": {1: [2, None], "day": "2020-01-02"}}
            ),
            "data/01_raw/other.csv": "a,b\n5,6\n",
            "conf/databricks/databricks.yml": "data:\n  root: dbfs:/root/projects/generated/data\n",
        }
        config = CONFIGURATIONS[random.choice(list(CONFIGURATIONS))]
        if config:
            files["conf/logging.yml"] = yaml.safe_dump(config)
        if random.random() < 0.6:
            files[f"src/{PACKAGE}/hooks.py"] = _HOOKS
            files[f"src/{PACKAGE}/settings.py"] = (
                "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader\n"
                f"from {PACKAGE}.hooks import Hooks\n\n"
                "CONFIG_LOADER_CLASS = DatabricksConfigLoader\nHOOKS = (Hooks(),)\n"
            )
        return Generated(files, self._command(runner), not runner)

    def _node(self, index: int, available: list[str], *, is_ordered: bool) -> list[str]:
        """Add a node, and return the names of its outputs."""
        random, name = self._random, f"node_{index}"
        inputs = random.sample(available, random.randint(1, min(3, len(available))))
        kinds = [random.choice(list(KINDS)) for _ in range(random.randint(1, 2))]
        outputs = [self._dataset(f"{kind}_{index}_{number}", kind) for number, kind in enumerate(kinds)]
        choices = (*_EFFECTS, *_ALONE) if is_ordered else _EFFECTS
        effects = random.sample(choices, random.randint(0, 4))
        if random.random() < 0.06:
            effects.append(random.choice(_ENDS))
        lines = [effect.format(name=name, variable=name) for effect in effects]
        arguments = ", ".join(f"x{number}" for number in range(len(inputs)))
        made = ", ".join(f'made("{KINDS[kind][0]}", total + {number})' for number, kind in enumerate(kinds))
        body = "\n".join([*lines, f"total = sum(map(number, [{arguments}])) % 1000", f"return {made}"])
        self._functions.append(f"def {name}({arguments}):\n{textwrap.indent(body, '    ')}")
        tags = random.sample(["daily", "weekly"], random.randint(0, 2))
        options = f"name={name!r}, tags={tags!r}"
        if random.random() < 0.3:
            options += f", namespace={random.choice(['shop', 'shop.deep'])!r}"
            name = ""
        function = f"work.node_{index}"
        given = outputs if len(outputs) > 1 else outputs[0]
        self._nodes.append(f"node({function}, {inputs!r}, {given!r}, {options})")
        self._names += [name] if name else []
        return outputs

    def _dataset(self, name: str, kind: str) -> str:
        """Add a dataset to the catalog, or leave it to a factory; return its name."""
        _, ending, config = KINDS[kind]
        if kind == "none":
            return name
        place = f"data/02_intermediate/{name}" + (f".{ending}" if ending else "")
        if kind == "csv" and self._random.random() < 0.5:
            return f"made_{name}"  # the factory's
        if kind == "cached":
            inner = {**config["dataset"], "filepath": place, "save_args": {"index": False}}
            self._catalog[name] = {**config, "dataset": inner}
        elif kind == "parts":
            inner = {"type": config["dataset"], "save_args": {"index": False}}
            self._catalog[name] = {**config, "dataset": inner, "path": place, "filename_suffix": ".csv"}
        elif kind == "memory":
            self._catalog[name] = {**config}
        else:
            self._catalog[name] = {**config, "filepath": place}
        return name

    def _catalog_text(self) -> str:
        raw = {"type": "pandas.CSVDataset", "filepath": 'data/01_raw/${runtime_params:file, "raw"}.csv'}
        factory = {**KINDS["csv"][2], "filepath": "data/03_primary/{name}.csv"}
        return yaml.safe_dump({"raw": raw, "made_{name}": factory, **self._catalog}, width=1000)

    def _registry(self) -> str:
        nodes = ",\n        ".join(self._nodes)
        return (
            f"from kedro.pipeline import node, pipeline\n\nfrom {PACKAGE} import work\n\n\n"
            f"def register_pipelines():\n    nodes = [\n        {nodes},\n    ]\n"
            '    return {"__default__": pipeline(nodes), "first": pipeline(nodes[:1])}\n'
        )

    def _command(self, runner: str) -> str:
        random = self._random
        options = [f"--runner={runner}"] if runner else []
        if self._names:
            options += random.choice([[], [], [f"--to-nodes={random.choice(self._names)}"]])
        options += random.choice(
            [[], [], [], ["--tags=daily"], ["--pipelines=first"], ["--only-missing-outputs"]]
        )
        options += random.choice([[], [], ["--params=size=4,more.deep=[1]"], ["--params=file=other"]])
        return " ".join(options)
