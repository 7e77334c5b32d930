"""A project without Spark that prints the options of a run, and each node with its inputs and thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.project_fixtures import PACKAGE, write_files

if TYPE_CHECKING:
    from pathlib import Path

_HOOKS = """
import json
import threading

from kedro.framework.hooks import hook_impl


class Trace:
    @hook_impl
    def before_pipeline_run(self, run_params):
        names = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "load_versions",
                 "namespaces", "only_missing_outputs", "runtime_params")
        asked = {name: run_params.get(name) for name in names}
        print("TRACE " + json.dumps({name: value for name, value in asked.items() if value}, sort_keys=True))

    @hook_impl
    def before_node_run(self, node, inputs, is_async):
        shown = {name: value for name, value in inputs.items()}
        main = threading.current_thread() is threading.main_thread()
        facts = {"node": node.name, "inputs": shown, "main": main, "async": is_async}
        print("TRACE " + json.dumps(facts, sort_keys=True, default=str))
"""
_PIPELINES = """\
from kedro.pipeline import Pipeline, node, pipeline


def first(raw, scale):
    return raw["value"] * scale


def plus(number, more):
    return number + more


def old(history):
    return history["value"]


def register_pipelines():
    counting = pipeline([
        node(first, ["raw", "params:counting.scale"], "one", name="first", tags=["early"]),
        node(plus, ["one", "params:counting.more"], "two", name="second", tags=["late"]),
    ])
    inner = pipeline(
        [node(plus, ["two", "params:more"], "three", name="third", tags=["late"]),
         node(plus, ["three", "params:more"], "four", name="fourth")],
        namespace="inner", inputs="two",
    )
    past = pipeline([node(old, "history", "seen", name="old")])
    return {"__default__": counting + inner, "counting": counting, "inner": inner, "past": past}
"""
_CATALOG = """\
raw:
  type: json.JSONDataset
  filepath: data/01_raw/raw.json
history:
  type: json.JSONDataset
  filepath: data/01_raw/history.json
  versioned: true
two:
  type: json.JSONDataset
  filepath: data/02_intermediate/two.json
inner.four:
  type: json.JSONDataset
  filepath: data/02_intermediate/four.json
"""
OLD_VERSION = "2025-01-01T00.00.00.000Z"
NEW_VERSION = "2025-06-01T00.00.00.000Z"


def write(folder: Path) -> None:
    """Turn a project of `make_project` into this one."""
    files = {
        f"src/{PACKAGE}/hooks.py": _HOOKS,
        f"src/{PACKAGE}/pipeline_registry.py": _PIPELINES,
        "conf/base/catalog.yml": _CATALOG,
        "conf/base/parameters.yml": "counting:\n  scale: 2\n  more: 1\ninner:\n  more: 10\n",
        "conf/special-here/parameters.yml": "counting:\n  scale: 7\n  more: 1\n",
        "conf/special/parameters.yml": "counting:\n  scale: 7\n  more: 1\n",
        "conf/special/databricks.yml": "data:\n  root: dbfs:/root/projects/options/data\n",
        "conf2/base/catalog.yml": _CATALOG,
        "conf2/base/parameters.yml": "counting:\n  scale: 9\n  more: 9\ninner:\n  more: 9\n",
        "conf2/local/.gitkeep": "",
        "conf2/databricks/databricks.yml": (
            "code:\n  folder: /Workspace/Repos/{user}/options\ncompute:\n  cluster: sandbox\n"
            "data:\n  root: dbfs:/root/projects/options/data\n"
        ),
        "data/01_raw/raw.json": '{"value": 5}',
        f"data/01_raw/history.json/{OLD_VERSION}/history.json": '{"value": "old"}',
        f"data/01_raw/history.json/{NEW_VERSION}/history.json": '{"value": "new"}',
        "run.yml": "run:\n  tags: early,late\n  pipelines: counting\n  params:\n    counting.more: 4\n",
    }
    write_files(folder, files)
    (folder / "data" / "01_raw" / "raw.csv").unlink()
    settings = folder / "src" / PACKAGE / "settings.py"
    hooks = f"\nfrom {PACKAGE}.hooks import Trace\n\nHOOKS = (Trace(),)\n"
    settings.write_text(settings.read_text("utf-8") + hooks, encoding="utf-8")
