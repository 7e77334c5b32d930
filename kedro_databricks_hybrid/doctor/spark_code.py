"""Find calls in the project's source that Spark on serverless compute refuses."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.doctor.finding import Finding, green, yellow

if TYPE_CHECKING:
    from kedro_databricks_hybrid.project.project import Project

_SHOWN = 5
_FIX = "Use DataFrame methods instead of RDDs and sparkContext, and remove the caching"


def serverless(project: Project) -> Finding:
    """Warn of RDDs, sparkContext and caching: the run stops where serverless compute reaches them."""
    root = project.metadata.project_path
    listed = project.repository.ask(
        *("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"),
        f":(literal){project.metadata.source_dir.relative_to(root).as_posix()}",
    )
    names = sorted({name for name in listed.split("\0") if name.endswith(".py")})
    found = []
    for name in names:
        path = root / name
        if not path.is_file():  # deleted, but not committed yet
            continue
        try:
            found += [f"{name}:{line} {call}" for line, call in refused_calls(path.read_bytes())]
        except (SyntaxError, ValueError) as error:
            return yellow("Spark code", f"{name} is not valid Python: {error}", f"Edit {name}")
    if not found:
        return green("Spark code", "the source uses no RDDs, sparkContext or caching")
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return yellow("Spark code", f"serverless compute refuses {', '.join(found[:_SHOWN])}{more}", _FIX)


def refused_calls(source: bytes) -> list[tuple[int, str]]:
    """Return the line and the spelling of each call that serverless compute refuses, in the order of lines.

    Only names are compared, so a method of the project's own with such a name is found too.

    Raises:
        SyntaxError: The source is not valid Python; a ValueError on Python 3.11 if it has null bytes.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr="rdd" | "sparkContext" as name, ctx=ast.Load(), end_lineno=line):
                found.append((line or 0, f".{name}"))
            case ast.Call(func=ast.Attribute(attr="cache", end_lineno=line), args=[], keywords=[]):
                found.append((line or 0, ".cache()"))  # functools.cache has an argument
            case ast.Call(func=ast.Attribute(attr="persist" | "unpersist" as name, end_lineno=line)):
                found.append((line or 0, f".{name}()"))
    return sorted(found)
