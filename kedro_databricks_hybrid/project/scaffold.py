"""The files that a project needs for Databricks: plan what is missing, then write it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import notebook, settings, settings_py, yaml_edit
from kedro_databricks_hybrid.project.datasets import imported_settings
from kedro_databricks_hybrid.project.requirements import (
    DISTRIBUTION,
    REQUIREMENTS_FILES,
    conflict_with_own,
    local_requirements,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.project.requirements import Requirements

LOADER_LINES = (
    "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader; "
    "CONFIG_LOADER_CLASS = DatabricksConfigLoader"
)
"""What settings.py must contain so that one catalog works locally and on Databricks."""

_BASE = """\
# This project's settings for Databricks. A commented line shows a default; uncomment it to change it.
# {user} stands for your Databricks user name, {project} for this project's name, {branch} for the Git branch.
# code.folder is the Git folder.
code:
  # remote: origin       # the Git remote to clone it from
  # provider: gitHub     # only if the host's name does not tell, as git.example.com
compute:
  # cluster: my-cluster  # name or id, or serverless; --cluster overrides it
"""

_DATABRICKS = """\
# The env `databricks`: the catalog's paths below data/ point to this data root,
# dbfs:/... or /Volumes/<catalog>/<schema>/<volume>/...
data:
"""

_SETTINGS_FILES = {
    settings.BASE_ENV: ({"code.folder", "compute.cluster"}, _BASE),
    settings.DATABRICKS_ENV: ({"data.root"}, _DATABRICKS),
}
"""The settings that `init` writes to the databricks.yml of each env, and the file's initial content."""

# Lines for .gitignore, each with a path that tells whether git ignores such files already.
_IGNORED = (
    ("{conf}/local/**", "{conf}/local/credentials.yml"),
    ("{conf}/**/*credentials*", "{conf}/base/credentials.yml"),
    ("__pycache__/", "src/x/__pycache__/x.pyc"),
    ("spark-warehouse/", "spark-warehouse/x"),
    ("metastore_db/", "metastore_db/x"),
    ("derby.log", "derby.log"),
)


@dataclass(frozen=True)
class Change:
    """A file to write: its path in the project, its text, the verb that reports it, and its settings."""

    path: str
    text: str
    what: str
    said: str = ""


@dataclass(frozen=True)
class Plan:
    """The changes that a project needs.

    Args:
        changes: The files to write.
        instructions: Steps that only the user can do, one sentence each.
    """

    changes: list[Change]
    instructions: list[str]


def plan(project: Project, values: Mapping[str, str]) -> Plan:
    """Plan which files to write or extend; existing content is kept.

    Args:
        project: The Kedro project.
        values: The settings to write, `<section>.<key>` and value; may contain placeholders.

    Raises:
        SettingsError: A databricks.yml cannot be edited.
    """
    project_path, package = project.metadata.project_path, project.metadata.package_name
    changes, instructions = settings_changes(project, values), []
    required, added = None, None
    try:
        required = local_requirements(project_path)
        added = _requirements(project_path, required)
        if required and not is_required(required) and not added:
            instructions.append(how_to_require(required))
        if required and (conflict := conflict_with_own(required.listing)):
            instructions.append(f"pip cannot install the requirements: {conflict}.")
    except SettingsError as error:  # of files that are the user's to edit
        instructions.append(str(error))
    if not _has_notebook(project_path) and not (project_path / notebook.PATH).exists():
        is_new = added and required is None
        content = notebook.Content() if is_new else notebook.content_for(required, notebook.Content.env)
        changes.append(Change(notebook.PATH, content.as_source(), "Wrote"))
    changes += [each for each in (_gitignore(project), added) if each]
    source = Path(os.path.relpath(project.metadata.source_dir, project_path))
    settings_file = (source / package / "settings.py").as_posix()
    try:
        before = _text(project_path / settings_file)
        after = settings_py.with_loader(before)
        if after != before:
            changes.append(Change(settings_file, after, "Edited"))
    except settings_py.CannotEditError as error:
        if lines := _loader_lines(project):
            instructions.append(f"Add to {settings_file}, which was not changed because {error}: {lines}")
    return Plan(changes, instructions)


def old_paths(project: Project) -> list[str]:
    """Return how to change the catalog's lines of older projects with fixed paths of DBFS to local data.

    Returns:
        An instruction for each line whose folder exists in the local data folder.
    """
    project_path, data = project.metadata.project_path, project.settings.data.local
    conf = project.conf / settings.BASE_ENV
    fixed = re.compile(rf"(?:dbfs:/|/dbfs/)[^\s\"'#]*?/({re.escape(data)}/[^\s\"'#]+)")
    found = []
    for file in sorted(conf.rglob("catalog*")):
        lines = _text(file).splitlines() if file.is_file() else []
        for number, line in enumerate(lines, 1):
            match = fixed.search(line)
            if match and not line.lstrip().startswith("#") and (project_path / match[1]).parent.is_dir():
                name = file.relative_to(project_path).as_posix()
                found.append(f"{name}, line {number}: change {match[0]} to {match[1]}")
    return found


def settings_changes(project: Project, values: Mapping[str, str]) -> list[Change]:
    """Plan which databricks.yml files to write or edit so that they contain some settings.

    Args:
        project: The Kedro project.
        values: The settings, `<section>.<key>` and value.

    Raises:
        SettingsError: A file cannot be edited.
    """
    changes = []
    project_path = project.metadata.project_path
    for env, (names, template) in _SETTINGS_FILES.items():
        path = f"{project.conf_name}/{env}/{settings.FILE_NAME}"
        exists = (project_path / path).exists()
        before = _text(project_path / path) if exists else template
        given = {name: value for name, value in values.items() if name in names}
        text = before
        for name, value in given.items():
            text = _with_value(path, text, name, value)
        said = ", ".join(_description(name, value, before) for name, value in given.items())
        if not exists:
            changes.append(Change(path, text, "Wrote", said))
        elif text != before:
            changes.append(Change(path, text, "Edited", said))
    return changes


def _with_value(path: str, text: str, name: str, value: str) -> str:
    try:
        return yaml_edit.with_value(text, name, value)
    except yaml_edit.CannotEditError as error:
        hint = f"Set {name} to {value} there."
        raise SettingsError(f"{path} cannot be edited: {error}.", hint=hint) from error


def _description(name: str, value: str, before: str) -> str:
    """Return a setting's new value, and its old one in the text of its file, as words for the user."""
    import yaml

    section, _, key = name.partition(".")
    old = ((yaml.safe_load(before) or {}).get(section) or {}).get(key)
    return f"{name} is {value}" if old is None else f"{name} is {value} and was {old}"


def write(project_path: Path, change: Change) -> None:
    """Write one file, byte for byte as planned."""
    path = project_path / change.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change.text.encode("utf-8", "surrogateescape"))


def is_required(requirements: Requirements) -> bool:
    """Tell whether requirements include this package, or may do so by a line such as `-e .`."""
    listing = requirements.listing
    return DISTRIBUTION in listing.names or bool(listing.unclear)


def can_add(project_path: Path, requirements: Requirements) -> bool:
    """Tell whether `init` adds this package to these requirements itself."""
    return _requirements(project_path, requirements) is not None


def how_to_require(requirements: Requirements) -> str:
    """Return what the user does to add this package to requirements that `init` does not edit."""
    file = requirements.path
    if requirements.tool:
        return f"{file.name} lacks {DISTRIBUTION}: run `{requirements.tool.add(DISTRIBUTION)}`."
    if not requirements.is_for_pip:
        return f'{file.name} lacks {DISTRIBUTION}: add "{DISTRIBUTION}" to dependencies in [project].'
    if _is_compiled(requirements):
        return f"{file} lacks {DISTRIBUTION}: add it to what {file} is compiled from, and compile it again."
    return f"{file} lacks {DISTRIBUTION}: add it."


def uses_our_loader(package: str) -> bool:
    """Tell whether the project that Kedro has loaded uses DatabricksConfigLoader.

    Raises:
        SettingsError: Its settings.py cannot be imported.
    """
    loader: type = imported_settings(package).CONFIG_LOADER_CLASS
    return any(base.__name__ == "DatabricksConfigLoader" for base in loader.__mro__)


def other_loader(package: str) -> str | None:
    """Return the name of the project's config loader if it is not DatabricksConfigLoader.

    Raises:
        SettingsError: Its settings.py cannot be imported.
    """
    if uses_our_loader(package):
        return None
    return str(imported_settings(package).CONFIG_LOADER_CLASS.__name__)


def ways_out(loader: str, project: Project) -> str:
    """Return what to do about another config loader than ours."""
    env = project.env or settings.DATABRICKS_ENV
    return (
        f"Add DatabricksConfigLoader to it (`class Loader(DatabricksConfigLoader, {loader}): pass`), or give "
        f"paths at the data root in {project.conf_name}/{env}/catalog.yml"
    )


def _loader_lines(project: Project) -> str | None:
    """Return what settings.py needs to use our loader, beside one of its own; None if it uses it."""
    try:
        loader = other_loader(project.metadata.package_name)
    except SettingsError:
        return LOADER_LINES
    if loader in {None, "OmegaConfigLoader"}:
        return LOADER_LINES if loader else None
    derived = f"`class Loader(DatabricksConfigLoader, {loader}): pass` and CONFIG_LOADER_CLASS = Loader"
    return f"{LOADER_LINES.partition(';')[0]}, then {derived}"


def _has_notebook(project_path: Path) -> bool:
    """Tell whether a notebook of the project loads it with %reload_kedro, as the guide's does."""
    found = [*project_path.glob("notebooks/**/*.py"), *project_path.glob("notebooks/**/*.ipynb")]
    return any("%reload_kedro" in path.read_text(encoding="utf-8", errors="replace") for path in found)


def _gitignore(project: Project) -> Change | None:
    project_path = project.metadata.project_path
    wanted = [[each.format(conf=project.conf_name) for each in pair] for pair in _IGNORED]
    given = "".join(f"{sample}\0" for _, sample in wanted)
    result = project.repository.run("check-ignore", "--no-index", "-z", "--stdin", given=given)
    ignored = set(result.stdout.decode().split("\0"))
    missing = [line for line, sample in wanted if sample not in ignored]
    if not missing:
        return None
    text = _with_lines(_text(project_path / ".gitignore"), ["# Local to one machine.", *missing])
    return Change(".gitignore", text, "Edited" if (project_path / ".gitignore").exists() else "Wrote")


def _requirements(project_path: Path, required: Requirements | None) -> Change | None:
    """Add this package to a requirements.txt; files that a tool writes are the tool's to edit."""
    if required is None:
        return Change(REQUIREMENTS_FILES[0], f"kedro\n{DISTRIBUTION}\n", "Wrote")
    name = str(required.path)
    if is_required(required) or not name.endswith(".txt") or _is_compiled(required):
        return None
    try:
        text = (project_path / name).read_bytes().decode("utf-8")
    except UnicodeDecodeError:  # a line in UTF-8 would not fit
        return None
    return Change(name, _with_lines(text, [DISTRIBUTION]), "Edited")


def _is_compiled(required: Requirements) -> bool:
    """Tell whether a tool such as pip-compile writes the file, or pip wants a hash of each line."""
    listing = required.listing
    return listing.has_hashes or any("autogenerated by" in each.raw for each in listing.lines[:5])


def _with_lines(text: str, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    start = text if not text or text.endswith("\n") else f"{text}{newline}"
    return start + "".join(f"{line}{newline}" for line in lines)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
