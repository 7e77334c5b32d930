"""The structure of the package: imports point down, one module builds the client, one runs git."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

NAME = "kedro_databricks_hybrid"
PACKAGE = Path(__file__).resolve().parent.parent / NAME
HEAVY = {"databricks", "pyspark", "pandas", "numpy", "starlette", "pydantic", "uvicorn", "jupyter_client"}

# The rooms of the client from the bottom up. A module imports its own room and the layers below.
LAYERS = (
    ("__init__", "errors", "disk", "parallel"),
    ("git",),
    ("databricks",),
    ("transfer",),
    ("project",),
    ("spark",),
    ("config",),
    ("run", "filesystem"),
    ("doctor", "hooks", "config_loader", "job_task", "starters"),
    ("cli",),
    ("__main__",),
)

# The sandbox from the bottom up. All but the core also know the workspace's state, with the models of all.
FAMILIES = (
    *(
        "identity",
        "permissions",
        "pipelines",
        "secrets",
        "workspace",
        "repos",
        "dbfs",
        "volumes",
        "unity_catalog",
    ),
    *("clusters", "commands", "jobs", "faults", "connect"),
)
SANDBOX_LAYERS = (
    ("core",),
    ("kernel",),
    ("connection", *FAMILIES),
    ("workspace_state",),
    ("app",),
    ("__init__", "__main__"),
)

# What a folder takes from another one that is not below it, and why.
ACROSS = {
    ("jobs", "clusters.libraries"): "tasks bring libraries",
    ("jobs", "clusters.model"): "tasks run on clusters",
    ("jobs", "connect.gateway"): "tasks on serverless compute use Spark Connect",
    ("jobs", "repos.credentials"): "a job's git source names a provider",
    ("jobs", "repos.git"): "a job's git source is cloned",
    ("volumes", "unity_catalog.model"): "files are in existing volumes",
    ("workspace", "repos.model"): "Git folders are objects of the workspace tree",
}


@dataclass(frozen=True)
class Module:
    """One module of the package.

    Args:
        text: Its source.
        loaded: What it imports when it is imported itself, dotted.
        imported: What it imports anywhere, for type checkers too, dotted.
    """

    text: str
    loaded: frozenset[str]
    imported: frozenset[str]

    @property
    def ours(self) -> set[str]:
        """The modules of this package among its imports, by their dotted names below the package."""
        short = {name.removeprefix(f"{NAME}.") for name in self.imported if name.startswith(NAME)}
        return short & modules().keys()


@cache
def modules() -> dict[str, Module]:
    """Return all modules by their dotted names below the package; each file is parsed once."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        folder = [NAME, *path.relative_to(PACKAGE).parent.parts]
        found[name] = Module(
            text, _imports(tree, folder, at_load=True), _imports(tree, folder, at_load=False)
        )
    return found


def _imports(tree: ast.Module, folder: list[str], *, at_load: bool) -> frozenset[str]:
    found: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if at_load and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
        todo.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def client() -> dict[str, Module]:
    """Return the modules that are no part of the sandbox."""
    return {name: each for name, each in modules().items() if room(name) != "sandbox"}


def sandbox() -> dict[str, Module]:
    """Return the sandbox's modules by their names below it."""
    inside = {name: each for name, each in modules().items() if room(name) == "sandbox"}
    return {
        name.removeprefix("sandbox").removeprefix(".") or "__init__": each for name, each in inside.items()
    }


def room(name: str) -> str:
    """Return a module's top folder, or the module itself if it has none."""
    return name.partition(".")[0]


def layer(name: str, layers: tuple[tuple[str, ...], ...]) -> int:
    """Return the number of a module's layer; a module without a layer gets the highest number."""
    return next((number for number, members in enumerate(layers) if room(name) in members), len(layers))


def test_every_module_lies_in_a_room() -> None:
    """Every module or folder is named in a layer above."""
    named = {member for members in LAYERS for member in members}
    inside = {member for members in SANDBOX_LAYERS for member in members}
    assert {name for name in client() if room(name) not in named} == set()
    assert {name for name in sandbox() if room(name) not in inside} == set()


def test_imports_point_down() -> None:
    """A module imports neither the layers above it nor another folder of its own layer."""
    upwards = {
        f"{name} imports {other}"
        for name, module in client().items()
        for other in module.ours & client().keys()
        if room(other) != room(name) and layer(other, LAYERS) >= layer(name, LAYERS)
    }
    assert upwards == set()


def test_there_are_no_circles() -> None:
    """The modules have an order in which each imports only earlier ones, including imports for types."""
    graph = {name: module.ours - {name, "__init__"} for name, module in modules().items()}
    order = list(TopologicalSorter(graph).static_order())  # a CycleError names the circle
    assert set(order) >= set(graph)


def test_the_client_knows_the_sandboxs_address_and_kernels_alone() -> None:
    """The client imports only the module with the sandbox's address, and the one that chooses its kernels."""
    known = {"sandbox", "sandbox.connection", "sandbox.kernel", "sandbox.kernel.kinds"}
    inside = {
        f"{name} imports {other}"
        for name, module in client().items()
        for other in module.ours
        if room(other) == "sandbox" and other not in known
    }
    assert inside == set()


def test_the_sandbox_is_an_island() -> None:
    """Both sides cannot share one mistake: it imports neither the client, nor Kedro, nor the SDK.

    `spark.java` is shared: it knows neither side, and `disk` is all that it imports.
    """
    foreign = {
        f"{name} imports {other}"
        for name, module in sandbox().items()
        for other in module.imported
        if room(other) in {NAME, "databricks", "kedro"}
        and not f"{other}.".startswith(f"{NAME}.sandbox.")
        and other not in {NAME, f"{NAME}.spark", f"{NAME}.spark.java"}
    }
    assert foreign == set()


def test_families_share_what_lies_below_them() -> None:
    """A folder imports only its own modules and the layers below, except as listed with a reason."""
    across = {
        (room(name), other.removeprefix("sandbox."))
        for name, module in sandbox().items()
        for other in module.ours
        if other.startswith("sandbox.") and other.removeprefix("sandbox.") not in FAMILIES  # __init__ files
    }
    across = {
        (folder, other)
        for folder, other in across
        if folder != room(other)
        and layer(other, SANDBOX_LAYERS) >= layer(folder, SANDBOX_LAYERS)
        and (folder == "core" or other != "workspace_state")
    }
    assert across == set(ACROSS)


def test_one_module_builds_the_client_and_one_runs_git() -> None:
    """Other modules get a Workspace and use the repository."""
    builders = {name for name, module in client().items() if re.search(r"(?<![\w.])Client\(", module.text)}
    runners = {name for name, module in client().items() if '["git"' in module.text}
    assert builders == {"databricks.workspace"}
    assert runners == {"git.repository"}


def test_heavy_imports_wait_until_they_are_needed() -> None:
    """Kedro loads every plugin on every command."""
    heavy = {
        f"{name} imports {other}"
        for name, module in client().items()
        for other in module.loaded
        if room(other) in HEAVY
    }
    assert heavy == set()
