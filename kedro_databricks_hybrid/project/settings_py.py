"""Edit a project's settings.py, by its syntax tree, to use DatabricksConfigLoader. Pure.

Without it, `kedro databricks init` would ask every user to edit settings.py by hand, because Kedro uses
OmegaConfigLoader unless settings.py names another loader.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

MODULE = "kedro_databricks_hybrid.config_loader"
LOADER = "DatabricksConfigLoader"
NAME = "CONFIG_LOADER_CLASS"
_KEDRO_LOADER = "OmegaConfigLoader"
_COMMENT = "# One catalog that works locally and on Databricks."
_IMPORT = f"from {MODULE} import {LOADER}"


class CannotEditError(ValueError):
    """The file sets the loader in a way that only its author can change."""


@dataclass(frozen=True)
class _Edit:
    """Lines to replace, counted from 0; an insertion if `first` equals `end`."""

    first: int
    end: int
    text: list[str]


def source(metadata: ProjectMetadata) -> str:
    """Return the text of a project's settings.py, empty if it has none."""
    try:
        return (metadata.source_dir / metadata.package_name / "settings.py").read_text("utf-8", "replace")
    except OSError:
        return ""


def literal(source: str, name: str) -> str | None:
    """Return the text that a settings.py sets a name to at its top level; None if it does not do so."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for each in _assignments(tree, name):
        if isinstance(each.value, ast.Constant) and isinstance(each.value.value, str):
            return each.value.value
    return None


def uses_loader(source: str) -> bool:
    """Tell whether a settings.py imports DatabricksConfigLoader and sets it as the loader."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    assigned = _assignments(tree)
    return len(assigned) == 1 and _value(assigned[0]) == LOADER and _imports(tree, LOADER)


def with_loader(source: str) -> str:
    """Return a settings.py changed to set DatabricksConfigLoader; the rest is kept.

    Args:
        source: The file's text, with its own line endings.

    Raises:
        CannotEditError: It is not valid Python, or sets a loader in a way that this function cannot change.
    """
    if uses_loader(source):
        return source
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise CannotEditError(f"it is not valid Python (line {error.lineno})") from error
    newline = "\r\n" if "\r\n" in source else "\n"
    lines = source.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += newline
    for edit in sorted(_edits(tree), key=lambda each: each.first, reverse=True):
        text = [*edit.text]
        text[-1] = "  ".join([text[-1], *_comments(lines[edit.first : edit.end])])
        lines[edit.first : edit.end] = [f"{line}{newline}" for line in text]
    edited = "".join(lines)
    if not uses_loader(edited):
        raise CannotEditError("it sets the loader in an unusual way")
    return edited


def _comments(lines: list[str]) -> list[str]:
    """Return the comments in the lines of a statement, such as `# noqa: E402`."""
    tokens = tokenize.generate_tokens(io.StringIO("".join(lines)).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def _edits(tree: ast.Module) -> list[_Edit]:
    assigned = _assignments(tree)
    if _is_set_below_the_top(tree):
        raise CannotEditError(f"it sets {NAME} inside a block")
    if len(assigned) > 1:
        raise CannotEditError(f"it sets {NAME} more than once")
    statement = f"{NAME} = {LOADER}"
    if not assigned:
        where = _end_of_imports(tree)
        return [_Edit(where, where, ["", _IMPORT, "", _COMMENT, statement])]
    only = assigned[0]
    if _value(only) != _KEDRO_LOADER:
        raise CannotEditError(f"it sets {NAME} to a custom loader")
    if not _is_replaceable(tree, only):
        raise CannotEditError(f"it sets {NAME} and something else in one line")
    edits = [_Edit(only.lineno - 1, only.end_lineno or only.lineno, [statement])]
    if not _imports(tree, LOADER):
        edits.append(_import_edit(tree, before=only))
    return edits


def _import_edit(tree: ast.Module, *, before: ast.stmt) -> _Edit:
    """Add our import after that of Kedro's loader, or replace it if nothing else needs that."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == _KEDRO_LOADER for alias in node.names):
            uses = sum(isinstance(each, ast.Name) and each.id == _KEDRO_LOADER for each in ast.walk(tree))
            needless = uses == 1 and len(node.names) == 1 and _is_replaceable(tree, node)
            end = node.end_lineno or node.lineno
            return _Edit(node.lineno - 1 if needless else end, end, [_IMPORT])
    where = min(_end_of_imports(tree), before.lineno - 1)
    return _Edit(where, where, [_IMPORT])


def _assignments(tree: ast.Module, name: str = NAME) -> list[ast.Assign | ast.AnnAssign]:
    return [
        node
        for node in tree.body
        if (isinstance(node, ast.Assign) and any(_is_name(each, name) for each in node.targets))
        or (isinstance(node, ast.AnnAssign) and _is_name(node.target, name))
    ]


def _is_replaceable(tree: ast.Module, node: ast.stmt) -> bool:
    """Tell whether a statement can be replaced: it shares no line, and sets no other name."""
    first, last = node.lineno, node.end_lineno or node.lineno
    others = [each for each in tree.body if each is not node]
    if isinstance(node, ast.Assign) and len(node.targets) > 1:
        return False
    return all((each.end_lineno or each.lineno) < first or each.lineno > last for each in others)


def _is_set_below_the_top(tree: ast.Module) -> bool:
    stores = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == NAME and isinstance(node.ctx, ast.Store)
    ]
    return len(stores) != len(_assignments(tree))


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _value(node: ast.Assign | ast.AnnAssign) -> str | None:
    return node.value.id if isinstance(node.value, ast.Name) else None


def _imports(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names)
        for node in tree.body
    )


def _end_of_imports(tree: ast.Module) -> int:
    """Return the number of lines up to the last import at the top level, or to the end of the docstring."""
    ends = [node.end_lineno or 0 for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    if ends:
        return max(ends)
    first = tree.body[0] if tree.body else None
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return (first.end_lineno or 0) if first and has_docstring else 0
