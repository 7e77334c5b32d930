"""The dependencies that pyproject.toml declares without a lock file, as lines for pip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.locks import PDM, POETRY, UV, Tool
from kedro_databricks_hybrid.project.toml import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

    from kedro_databricks_hybrid.project.requirements_file import Files

PATH = "pyproject.toml"

# Tables of tools that say where packages come from, or which versions are allowed: only a lock file has both.
_SOURCES = {
    UV: ("sources", "index", "index-url", "extra-index-url", "find-links", "no-index",
         "override-dependencies", "constraint-dependencies", "exclude-dependencies"),
    PDM: ("source", "resolution"),
}  # fmt: skip
_FIELDS = ("name", "version", "dynamic", "dependencies", "optional-dependencies")


def lines(files: Files) -> list[str]:
    """Return the dependencies; empty if the project declares none.

    Raises:
        SettingsError: pip would install something else, so a lock file or a requirements file is needed.
    """
    content = table(files, PATH)
    tools, project = content.get("tool", {}), content.get("project")
    _refuse_sources(tools)
    if project is None:
        return []
    from pyproject_metadata import ConfigurationError, StandardMetadata

    known = {name: value for name, value in project.items() if name in _FIELDS}
    if "version" not in known:
        known["dynamic"] = sorted({*known.get("dynamic", []), "version"})
    try:
        metadata = StandardMetadata.from_pyproject({"project": known})
    except ConfigurationError as error:
        raise SettingsError(f"{PATH} is invalid: {error}.", hint=f"Edit {PATH}.") from None
    if "dependencies" in metadata.dynamic:
        return _from_files(tools)
    extras = {str(canonicalize_name(name)): each for name, each in metadata.optional_dependencies.items()}
    found = _own(metadata.dependencies, metadata.canonical_name, extras)
    return [requirements_file.with_own_folder(str(each)) for each in found]


def _own(wanted: list[Requirement], own: str, extras: dict[str, list[Requirement]]) -> Iterator[Requirement]:
    """Replace requirements of the project's own extras by what they contain: no index has the project."""
    waiting, seen = list(wanted), set[str]()
    while waiting:
        each = waiting.pop(0)
        if canonicalize_name(each.name) != own or each.url:
            yield each
            continue
        names = {canonicalize_name(extra) for extra in each.extras} - seen
        seen |= names
        waiting += [one for name in sorted(names) for one in extras.get(name, [])]


def _refuse_sources(tools: dict[str, Any]) -> None:
    poetry = tools.get("poetry", {})
    if set(poetry.get("dependencies", {})) - {"python"} or poetry.get("source"):
        raise _unlocked(POETRY, "[tool.poetry] dependencies or sources")
    for tool, names in _SOURCES.items():
        if found := [name for name in names if tools.get(tool.name, {}).get(name)]:
            raise _unlocked(tool, f"[tool.{tool.name}] {found[0]}")


def _unlocked(tool: Tool, what: str) -> SettingsError:
    return SettingsError(
        f"{PATH} has {what}, which only {tool.name} reads, and there is no {tool.lock}.",
        hint=tool.update,
    )


def _from_files(tools: dict[str, Any]) -> list[str]:
    """Return lines that include the files from which setuptools reads the dependencies."""
    declared = tools.get("setuptools", {}).get("dynamic", {}).get("dependencies", {})
    found = declared.get("file", []) if isinstance(declared, dict) else []
    if not found:
        raise SettingsError(
            f"The dependencies in {PATH} are dynamic, so only its build backend knows them.",
            hint=f"Write them to a file: `uv pip compile {PATH} -o requirements.txt`, and commit it.",
        )
    return [f"-r {each}" for each in ([found] if isinstance(found, str) else found)]
