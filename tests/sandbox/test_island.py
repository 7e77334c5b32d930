"""The sandbox shares no code with the client, so that both cannot share one mistake."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import kedro_databricks_hybrid.sandbox

PACKAGE = "kedro_databricks_hybrid"
FOLDER = Path(kedro_databricks_hybrid.sandbox.__path__[0])
MODULES = {f"{PACKAGE}.sandbox.{path.stem}": path for path in FOLDER.glob("*.py")}


def imported(path: Path, *, everywhere: bool) -> set[str]:
    """Return what a module imports: in any place, or only when it is loaded."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if everywhere else list(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_the_client_is_imported(module: str) -> None:
    """Nor Kedro or the SDK; `java` alone is shared, which knows of neither side."""
    allowed = (f"{PACKAGE}.sandbox", f"{PACKAGE}.java")
    foreign = {
        name
        for name in imported(MODULES[module], everywhere=True)
        if name.split(".")[0] in {PACKAGE, "databricks", "kedro"}
        and name != PACKAGE
        and not name.startswith(allowed)
    }
    assert foreign == set()


def test_no_module_needs_itself() -> None:
    """The imports at load time have no cycle."""
    needs = {module: imported(path, everywhere=False) & MODULES.keys() for module, path in MODULES.items()}
    while free := {module for module, wanted in needs.items() if not wanted & needs.keys()}:
        for module in free:
            del needs[module]
    assert needs == {}
