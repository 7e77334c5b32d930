"""The files that a project needs for Databricks: what is missing, worked out before anything is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.project import notebook, settings, settings_py, yaml_edit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kedro_databricks_hybrid.git.repository import Repository

LOADER_LINES = (
    "from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader; "
    "CONFIG_LOADER_CLASS = DatabricksConfigLoader"
)
"""What settings.py must hold so that one catalog serves both worlds."""

DISTRIBUTION = "kedro-databricks-hybrid"
REQUIREMENTS = ("requirements.txt", "src/requirements.txt")
"""Where a Kedro project keeps its requirements; the first that is there counts."""

_BASE = """\
# Where this project lies on Databricks. A line in comments shows a default; uncomment it to change it.
# {user} stands for your Databricks user name, {project} for this project's name, {branch} for the Git branch.
# code.folder is the Git folder there.
code:
  # remote: origin       # the Git remote that the Git folder is cloned from
  # provider: gitHub     # only for hosts that do not tell, such as git.example.com
compute:
  # cluster: my-cluster  # name or id, or serverless; --cluster overrides it
"""

_DATABRICKS = """\
# The env `databricks`: paths of the catalog below data/ lead to the data root,
# dbfs:/... or /Volumes/<catalog>/<schema>/<volume>/...
data:
"""

_SETTINGS_FILES = {
    f"conf/{settings.BASE_ENV}/{settings.FILE_NAME}": ({"code.folder", "compute.cluster"}, _BASE),
    f"conf/{settings.DATABRICKS_ENV}/{settings.FILE_NAME}": ({"data.root"}, _DATABRICKS),
}
"""Which settings init writes where, and what such a file says otherwise."""

# What must never be committed, as a line of .gitignore, with a path that shows whether it is ignored already.
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
    """A file to write: its path in the project, its text, what that does, and what of it is worth saying."""

    path: str
    text: str
    what: str
    said: str = ""


@dataclass(frozen=True)
class Plan:
    """What a project lacks.

    Args:
        changes: The files to write.
        instructions: What only the user can do, one sentence each.
    """

    changes: list[Change]
    instructions: list[str]


def plan(project_path: Path, package: str, repository: Repository, values: Mapping[str, str]) -> Plan:
    """Work out which files to write and to add to; what is there is kept.

    Args:
        project_path: The Kedro project.
        package: Its Python package.
        repository: Its repository, which knows what is ignored.
        values: The settings to give, `<section>.<key>` and value, placeholders allowed.

    Raises:
        SettingsError: A databricks.yml is written in a way that cannot be edited.
    """
    changes, instructions = settings_changes(project_path, values), []
    if not _has_notebook(project_path) and not (project_path / notebook.PATH).exists():
        text = notebook.Content(_requirements_name(project_path)).as_source()
        changes.append(Change(notebook.PATH, text, "Wrote"))
    changes += [each for each in (_gitignore(project_path, repository), _requirements(project_path)) if each]
    settings_file = f"src/{package}/settings.py"
    try:
        before = _text(project_path / settings_file)
        after = settings_py.with_loader(before)
        if after != before:
            changes.append(Change(settings_file, after, "Edited"))
    except settings_py.CannotEditError as error:
        if not uses_our_loader():
            instructions.append(
                f"Add to {settings_file}, which is left as it is since {error}: {LOADER_LINES}"
            )
    return Plan(changes, instructions)


def settings_changes(project_path: Path, values: Mapping[str, str]) -> list[Change]:
    """Return the databricks.yml files to write or edit so that they give some settings.

    Args:
        project_path: The Kedro project.
        values: The settings, `<section>.<key>` and value.

    Raises:
        SettingsError: A file is written in a way that cannot be edited.
    """
    changes = []
    for path, (names, template) in _SETTINGS_FILES.items():
        is_there = (project_path / path).exists()
        before = _text(project_path / path) if is_there else template
        given = {name: value for name, value in values.items() if name in names}
        text = before
        for name, value in given.items():
            text = _with_value(path, text, name, value)
        said = ", ".join(_told(name, value, before) for name, value in given.items())
        if not is_there:
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


def _told(name: str, value: str, before: str) -> str:
    """Say what a setting is, and what it was in the text of its file."""
    import yaml

    section, _, key = name.partition(".")
    old = ((yaml.safe_load(before) or {}).get(section) or {}).get(key)
    return f"{name} is {value}" if old is None else f"{name} is {value} and was {old}"


def write(project_path: Path, change: Change) -> None:
    """Write one file, byte for byte as planned."""
    path = project_path / change.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change.text.encode("utf-8", "surrogateescape"))


def required_names(requirements: str) -> set[str]:
    """Return the names of the distributions that a requirements file asks for, in their normal form."""
    found = re.findall(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirements, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def uses_our_loader() -> bool:
    """Tell whether the project that Kedro has loaded reads its configuration through our loader."""
    from kedro.framework.project import settings as of_project

    loader: type = of_project.CONFIG_LOADER_CLASS
    return any(base.__name__ == "DatabricksConfigLoader" for base in loader.__mro__)


def _has_notebook(project_path: Path) -> bool:
    """Tell whether a notebook of the project loads it as the guide's does."""
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


def _requirements(project_path: Path) -> Change | None:
    name = _requirements_name(project_path)
    text = _text(project_path / name)
    if DISTRIBUTION in required_names(text) or re.search(
        r"^\s*(-r|--requirement|-e|\.)\b", text, re.MULTILINE
    ):
        return None
    if not text:
        return Change(name, f"kedro\n{DISTRIBUTION}\n", "Wrote")
    return Change(name, _with_lines(text, [DISTRIBUTION]), "Edited")


def _requirements_name(project_path: Path) -> str:
    return next((each for each in REQUIREMENTS if (project_path / each).is_file()), REQUIREMENTS[0])


def _with_lines(text: str, lines: list[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    start = text if not text or text.endswith("\n") else f"{text}{newline}"
    return start + "".join(f"{line}{newline}" for line in lines)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
