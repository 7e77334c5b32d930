"""The files that a project needs for Databricks: plan what is missing, then write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import notebook, settings, settings_py, yaml_edit
from kedro_databricks_hybrid.project.datasets import imported_settings
from kedro_databricks_hybrid.project.requirements import DISTRIBUTION, REQUIREMENTS_FILES, local_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.git.repository import Repository
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
    f"conf/{settings.BASE_ENV}/{settings.FILE_NAME}": ({"code.folder", "compute.cluster"}, _BASE),
    f"conf/{settings.DATABRICKS_ENV}/{settings.FILE_NAME}": ({"data.root"}, _DATABRICKS),
}
"""The settings that `init` writes to each file, and the initial content of the file."""

# Lines for .gitignore, each with a path that tells whether git ignores such files already.
_IGNORED = (
    ("conf/local/**", "conf/local/credentials.yml"),
    ("conf/**/*credentials*", "conf/base/credentials.yml"),
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


def plan(project_path: Path, package: str, repository: Repository, values: Mapping[str, str]) -> Plan:
    """Plan which files to write or extend; existing content is kept.

    Args:
        project_path: The Kedro project.
        package: Its Python package.
        repository: Its repository, to ask what git ignores.
        values: The settings to write, `<section>.<key>` and value; may contain placeholders.

    Raises:
        SettingsError: A databricks.yml cannot be edited.
    """
    changes, instructions = settings_changes(project_path, values), []
    required = local_requirements(project_path)
    if not _has_notebook(project_path) and not (project_path / notebook.PATH).exists():
        file = str(required.path) if required else REQUIREMENTS_FILES[0]
        is_for_pip = required is None or required.is_for_pip
        text = notebook.Content(file if is_for_pip else None).as_source()
        changes.append(Change(notebook.PATH, text, "Wrote"))
    added = _requirements(project_path, required)
    changes += [each for each in (_gitignore(project_path, repository), added) if each]
    if required and not added and not is_required(required):
        instructions.append(f"Add {DISTRIBUTION} to the project's requirements: {required.path} lacks it.")
    settings_file = f"src/{package}/settings.py"
    try:
        before = _text(project_path / settings_file)
        after = settings_py.with_loader(before)
        if after != before:
            changes.append(Change(settings_file, after, "Edited"))
    except settings_py.CannotEditError as error:
        if not _is_known_to_use_our_loader(package):
            instructions.append(
                f"Add to {settings_file}, which was not changed because {error}: {LOADER_LINES}"
            )
    return Plan(changes, instructions)


def settings_changes(project_path: Path, values: Mapping[str, str]) -> list[Change]:
    """Plan which databricks.yml files to write or edit so that they contain some settings.

    Args:
        project_path: The Kedro project.
        values: The settings, `<section>.<key>` and value.

    Raises:
        SettingsError: A file cannot be edited.
    """
    changes = []
    for path, (names, template) in _SETTINGS_FILES.items():
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


def uses_our_loader(package: str) -> bool:
    """Tell whether the project that Kedro has loaded uses DatabricksConfigLoader.

    Raises:
        SettingsError: Its settings.py cannot be imported.
    """
    loader: type = imported_settings(package).CONFIG_LOADER_CLASS
    return any(base.__name__ == "DatabricksConfigLoader" for base in loader.__mro__)


def _is_known_to_use_our_loader(package: str) -> bool:
    try:
        return uses_our_loader(package)
    except SettingsError:
        return False


def _has_notebook(project_path: Path) -> bool:
    """Tell whether a notebook of the project loads it with %reload_kedro, as the guide's does."""
    found = [*project_path.glob("notebooks/**/*.py"), *project_path.glob("notebooks/**/*.ipynb")]
    return any("%reload_kedro" in path.read_text(encoding="utf-8", errors="replace") for path in found)


def _gitignore(project_path: Path, repository: Repository) -> Change | None:
    given = "".join(f"{sample}\0" for _, sample in _IGNORED)
    result = repository.run("check-ignore", "--no-index", "-z", "--stdin", given=given)
    ignored = set(result.stdout.decode().split("\0"))
    missing = [line for line, sample in _IGNORED if sample not in ignored]
    if not missing:
        return None
    text = _with_lines(_text(project_path / ".gitignore"), ["# Local to one machine.", *missing])
    return Change(".gitignore", text, "Edited" if (project_path / ".gitignore").exists() else "Wrote")


def _requirements(project_path: Path, required: Requirements | None) -> Change | None:
    """Add this package to a requirements.txt; other files, such as pyproject.toml, are the user's to edit."""
    name = str(required.path) if required else REQUIREMENTS_FILES[0]
    text = _text(project_path / name)
    if not text:
        return Change(name, f"kedro\n{DISTRIBUTION}\n", "Wrote")
    if required is None or is_required(required) or not name.endswith(".txt"):
        return None
    return Change(name, _with_lines(text, [DISTRIBUTION]), "Edited")


def _with_lines(text: str, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    start = text if not text or text.endswith("\n") else f"{text}{newline}"
    return start + "".join(f"{line}{newline}" for line in lines)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
