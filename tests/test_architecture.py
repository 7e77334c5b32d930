"""The source itself: imports point down, one module builds the client, one runs git, heavy imports wait."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "kedro_databricks_hybrid"
NAME = "kedro_databricks_hybrid"
HEAVY = ("databricks", "pyspark", "pandas", "numpy", "starlette", "uvicorn", "jupyter_client")

# From the bottom up; a module may import its own layer and those before it. What is not named is on top.
LAYERS = (
    ("__init__", "errors", "java", "connect_versions"),
    (
        "settings",
        "settings_edit",
        "settings_rules",
        "notebook_text",
        "git",
        "snapshot",
        "unsupported",
        "unsafe_names",
        "requirement_lines",
        "runtime_packages",
        "project_files",
        "starters",
        "sandbox.connection",
        "sdk",
    ),
    ("workspace", "secret_scopes", "spark"),
    ("catalog_paths",),
    (
        "cluster",
        "git_folder",
        "git_folder_edits",
        "files_folder",
        "git_credential",
        "data_root",
        "code",
        "project_notebook",
        "rescue",
        "connect",
        "sandbox_process",
    ),
    ("transfer",),
    ("run", "job_task", "filesystem"),
)


def modules() -> dict[str, Path]:
    """Return the client's modules by their dotted name below the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


def is_sandbox(name: str) -> bool:
    """Tell whether a module belongs to the sandbox's inside."""
    return name.startswith("sandbox.") or name == "sandbox"


def imports(path: Path, *, at_load: bool) -> set[str]:
    """Return what a module imports, dotted; with `at_load`, only what runs when it is imported."""
    tree = ast.parse(path.read_text("utf-8"))
    found: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if at_load and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        todo.extend(ast.iter_child_nodes(node))
    return found


def own_imports(path: Path) -> set[str]:
    """Return the modules of this package that a module imports, anywhere in it."""
    known = modules()
    short = {name.removeprefix(f"{NAME}.") for name in imports(path, at_load=False) if name.startswith(NAME)}
    return {name for name in short if name in known}


def layer(name: str) -> int:
    """Return the number of a module's layer."""
    for number, members in enumerate(LAYERS):
        if any(name == member or name.startswith(f"{member}.") for member in members):
            return number
    return len(LAYERS)


CLIENT = sorted(name for name in modules() if not is_sandbox(name))


@pytest.mark.parametrize("name", CLIENT)
def test_imports_point_down(name: str) -> None:
    """A module knows nothing of the layers above it."""
    upwards = {
        other
        for other in own_imports(modules()[name])
        if layer(other) > layer(name) and not (is_sandbox(other) and other != "sandbox.connection")
    }
    assert upwards == set()


def test_there_are_no_cycles() -> None:
    """The modules can be put in an order in which each imports earlier ones only."""
    graph = {name: own_imports(path) - {name, "__init__"} for name, path in modules().items()}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) >= set(graph)


@pytest.mark.parametrize("name", CLIENT)
def test_the_sandbox_is_an_island(name: str) -> None:
    """The client knows where the sandbox is, and nothing of its inside."""
    assert {other for other in own_imports(modules()[name]) if is_sandbox(other)} <= {
        "sandbox",
        "sandbox.connection",
    }


@pytest.mark.parametrize("name", sorted(name for name in modules() if is_sandbox(name)))
def test_the_sandbox_imports_nothing_of_the_client(name: str) -> None:
    """Both cannot share one mistake: neither our code nor the SDK."""
    path = modules()[name]
    assert {other for other in own_imports(path) if not is_sandbox(other)} <= {"java", "__init__"}
    assert not [found for found in imports(path, at_load=False) if found.startswith("databricks")]


@pytest.mark.parametrize("name", CLIENT)
def test_one_module_builds_the_client_and_one_runs_git(name: str) -> None:
    """Everything else is handed a Workspace, and asks git.py."""
    text = modules()[name].read_text("utf-8")
    assert bool(re.search(r"(?<![\w.])Client\(", text)) == (name == "workspace")
    assert ('["git"' in text) == (name == "git")


@pytest.mark.parametrize("name", CLIENT)
def test_heavy_imports_wait_until_they_are_needed(name: str) -> None:
    """Kedro loads every plugin on every command."""
    loaded = {found.partition(".")[0] for found in imports(modules()[name], at_load=True)}
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_files_have_one_subject(path: Path) -> None:
    """Past 350 lines two names say more."""
    assert len(path.read_text("utf-8").splitlines()) <= 350
