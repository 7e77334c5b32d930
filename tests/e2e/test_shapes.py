"""Projects that differ from the starter: push, run and pull work for each."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from tests.e2e.commands import Shell
from tests.project_fixtures import make_project, write_files

pytestmark = pytest.mark.processes

PUSH = "kedro databricks push --profile=sandbox"
RUN = "kedro databricks run --profile=sandbox"
PUSH_DATA = "kedro databricks data push --profile=sandbox"
PULL = "kedro databricks data pull --profile=sandbox"
DOUBLED = "data/02_intermediate/doubled.csv"
EXPECTED = "a,b\n2,4\n6,8\n"

_MANY_NODES = """\
from kedro.pipeline import node, pipeline


def double(raw):
    return raw * 2


def same(value):
    return value


def register_pipelines():
    first = node(double, "raw", "step_0", name="double")
    middle = [node(same, f"step_{n}", f"step_{n + 1}", name=f"same_{n}") for n in range(298)]
    last = node(same, "step_298", "doubled", name="last")
    return {"__default__": pipeline([first, *middle, last])}
"""

_OWN_SETTINGS = """\
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession

from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader


class OwnSession(KedroSession):
    def run(self, *args, **kwargs):
        print("a session of the project's own")
        return super().run(*args, **kwargs)


class OwnHooks:
    @hook_impl
    def after_pipeline_run(self, pipeline):
        print(f"a hook of the project's own after {len(pipeline.nodes)} nodes")


CONFIG_LOADER_CLASS = DatabricksConfigLoader
SESSION_CLASS = OwnSession
HOOKS = (OwnHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-databricks-hybrid",)
"""

_PROJECT_TABLE = """
[project]
name = "tiny-shop"
version = "0.1"
dependencies = ["pandas"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["src/tiny_shop"]
"""

# A hook plugin as pip installs it: a module, and metadata with its entry point.
_PLUGIN = {
    "src/other_plugin.py": """\
        from kedro.framework.hooks import hook_impl


        class Hooks:
            @hook_impl
            def after_dataset_saved(self, dataset_name):
                print(f"another plugin saw {dataset_name} saved")


        hooks = Hooks()
        """,
    "src/other_plugin-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: other-plugin\nVersion: 1.0\n",
    "src/other_plugin-1.0.dist-info/entry_points.txt": "[kedro.hooks]\nother = other_plugin:hooks\n",
}


def commit(shell: Shell, files: dict[str, str]) -> None:
    """Write files into the project and commit everything."""
    write_files(shell.folder, files)
    shell.ok("git add .")
    shell.ok("git commit -q -m Shape")


def came_back(shell: Shell) -> str:
    """Pull the data and return the content of the run's output file."""
    (shell.folder / DOUBLED).unlink(missing_ok=True)
    shell.ok(PULL)
    return (shell.folder / DOUBLED).read_text("utf-8")


def test_no_source_folder_300_nodes_and_settings_of_its_own(tiny: Callable[[str], Shell]) -> None:
    """The package is beside pyproject.toml, which has the requirements; the pipeline has 300 nodes.

    The project's session class and hooks run, though it has disabled this plugin's hooks.
    """
    shell = tiny("flat")
    shell.ok("git mv src/tiny_shop tiny_shop")
    pyproject = (shell.folder / "pyproject.toml").read_text("utf-8").replace('"src"', '"."')
    commit(
        shell,
        {
            "pyproject.toml": pyproject + _PROJECT_TABLE,
            "tiny_shop/pipeline_registry.py": _MANY_NODES,
            "tiny_shop/settings.py": _OWN_SETTINGS,
        },
    )
    shell.ok(PUSH)
    ran = shell.ok(RUN)
    assert "Completed 300 out of 300 tasks" in ran.out, str(ran)
    assert "a session of the project's own" in ran.out, str(ran)
    assert "a hook of the project's own after 300 nodes" in ran.out, str(ran)
    assert came_back(shell) == EXPECTED


def test_two_projects_in_one_repository(tiny: Callable[[str], Shell]) -> None:
    """Two projects with equal package names in one repository have separate settings, data and runs.

    Both are in one Git folder. One has another plugin. The other uses Kedro's configuration loader, so its
    catalog has remote paths.
    """
    shell = tiny("mono")
    for name, raw in (("plugged", "a,b\n1,2\n3,4\n"), ("plain", "a,b\n5,6\n")):
        make_project(shell.folder / name).write(
            {
                "conf/databricks/databricks.yml": f"data:\n  root: dbfs:/root/projects/mono_{name}/data\n",
                "conf/base/databricks.yml": (
                    "code:\n  folder: /Workspace/Repos/{user}/mono\ncompute:\n  cluster: sandbox\n"
                ),
                "data/01_raw/raw.csv": raw,
            }
        )
    catalog = (shell.folder / "plain/conf/base/catalog.yml").read_text("utf-8")
    there = {
        "src/tiny_shop/settings.py": "",
        "conf/databricks/catalog.yml": catalog.replace("data/", "/dbfs/root/projects/mono_plain/data/"),
    }
    commit(
        shell,
        {
            **{f"plugged/{path}": textwrap.dedent(text) for path, text in _PLUGIN.items()},
            **{f"plain/{path}": text for path, text in there.items()},
        },
    )
    shell.ok(PUSH)
    top = shell.folder
    shell.folder = top / "plugged"
    shell.ok(PUSH_DATA)
    ran = shell.ok(RUN)
    assert "another plugin saw doubled saved" in ran.out, str(ran)
    assert came_back(shell) == EXPECTED
    shell.folder = top / "plain"
    shell.ok(PUSH_DATA)
    ran = shell.ok(RUN)
    assert "another plugin" not in ran.out, str(ran)
    assert came_back(shell) == "a,b\n10,12\n"


def test_a_packaged_project_without_spark(tiny: Callable[[str], Shell]) -> None:
    """Run the project's wheel locally with this plugin installed: it completes without importing pyspark."""
    shell = tiny("packaged")
    main = """\
        import sys

        from kedro.framework.cli.utils import find_run_command
        from kedro.framework.project import configure_project


        def main():
            configure_project("tiny_shop")
            find_run_command("tiny_shop")(standalone_mode=False)
            print("Spark:", "pyspark" in sys.modules)


        if __name__ == "__main__":
            main()
        """
    pyproject = (shell.folder / "pyproject.toml").read_text("utf-8") + _PROJECT_TABLE
    write_files(shell.folder, {"pyproject.toml": pyproject, "src/tiny_shop/__main__.py": main})
    shell.ok("python -m hatchling build --target wheel --directory dist")
    wheel = next((shell.folder / "dist").glob("*.whl"))
    installed = shell.folder.parent / "installed"
    shell.ok(f"python -m zipfile -e {wheel} {installed}")
    ran = shell.ok("python -m tiny_shop --conf-source conf", PYTHONPATH=str(installed))
    assert "Completed 1 out of 1 tasks" in ran.out, str(ran)
    assert "Spark: False" in ran.out, str(ran)
    assert (shell.folder / DOUBLED).read_text("utf-8") == EXPECTED
