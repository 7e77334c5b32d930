"""Find what the credentials of a project's datasets need that no file on Databricks holds."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.secret_names import ENTRY
from kedro_databricks_hybrid.project import settings
from kedro_databricks_hybrid.project.datasets import CatalogOptions, config_loader, imported_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kedro_databricks_hybrid.project.datasets import ProjectCatalog
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace

_SUFFIXES = {".yml", ".yaml", ".json"}
_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*(,?)")
_REFERENCE = re.compile(r"\$\{\s*([\w-]+)")


@dataclass(frozen=True)
class NeededSecret:
    """A secret that runs on Databricks need.

    Args:
        name: The variable of `${oc.env:}`, or `credentials.<entry>` for a whole entry.
        datasets: The datasets whose credentials need it.
        is_optional: Whether the files give a default.
        is_here: Whether conf/local has the entry; true for a variable.
    """

    name: str
    datasets: tuple[str, ...]
    is_optional: bool = False
    is_here: bool = True

    def __str__(self) -> str:
        """Return its name with its datasets, as messages show it."""
        where = (
            "" if not self.entry else "only on this machine; " if self.is_here else "in no credentials.yml; "
        )
        return f"{self.entry or self.name} ({where}for {', '.join(self.datasets)})"

    @property
    def entry(self) -> str | None:
        """The entry of the credentials; None if this is a variable."""
        return self.name.removeprefix(ENTRY) if self.name.startswith(ENTRY) else None


def needed_secrets(project: Project, catalog: ProjectCatalog) -> list[NeededSecret]:
    """Return the secrets that the credentials of the chosen pipelines' datasets need on Databricks."""
    used = catalog.credentials()
    if not used:
        return []
    sent = _entries(project, _sent_files(project))
    local = _local_entries(project)
    variables: dict[str, tuple[dict[str, None], bool]] = {}
    found = []
    for name, datasets in used.items():
        if name not in sent:
            found.append(NeededSecret(f"{ENTRY}{name}", tuple(datasets), is_here=name in local))
            continue
        for variable, has_default in _variables(sent, name, set()):
            known, optional = variables.setdefault(variable, ({}, True))
            variables[variable] = ({**known, **dict.fromkeys(datasets)}, optional and has_default)
    return [
        NeededSecret(name, tuple(needing), optional) for name, (needing, optional) in variables.items()
    ] + found


def missing_secrets(project: ProjectOnWorkspace, catalog: ProjectCatalog) -> list[NeededSecret]:
    """Return those of the needed secrets that the secret scope does not have.

    Raises:
        WorkspaceError: The scope may not be read.
    """
    needed = [each for each in needed_secrets(project, catalog) if not each.is_optional]
    known = project.secret_scope.listed() if needed else {}
    return [each for each in needed if each.name not in known]


def local_entries(project: Project) -> dict[str, str]:
    """Return the entries of conf/local's credentials as YAML, with their variables resolved.

    Raises:
        Exception: Whatever the project's config loader raises, such as for a variable that is not set.
    """
    import yaml

    local = _local_entries(project)
    if not local:
        return {}
    options = CatalogOptions(_envs(project)[1], conf=project.conf)
    resolved = config_loader(project.metadata, options)["credentials"]
    return {name: yaml.safe_dump(resolved[name]) for name in local if name in resolved}


def _sent_files(project: Project) -> Iterator[Path]:
    """Yield the files of the base and the env that reach Databricks; the env's come last."""
    listed = ("ls-files", "-co", "--exclude-standard", "-z", "--") if project.syncs_files else (
        "ls-tree", "-r", "-z", "--name-only", "HEAD", "--"
    )  # fmt: skip
    base, local = _envs(project)
    for env in dict.fromkeys([base, project.env or local]):
        names = project.repository.ask(*listed, f"{project.conf_name}/{env}/").split("\0")
        yield from (project.metadata.project_path / name for name in names if name)


def _envs(project: Project) -> tuple[str, str]:
    """Return the base env and the default env, which the settings may rename."""
    given = imported_settings(project.metadata.package_name).CONFIG_LOADER_ARGS
    return given.get("base_env", settings.BASE_ENV), given.get("default_run_env", settings.LOCAL_ENV)


def _local_entries(project: Project) -> dict[str, Any]:
    """Return the entries of the default env, which is usually conf/local and not in Git."""
    return _entries(project, (project.conf / _envs(project)[1]).rglob("*"))


def _entries(project: Project, files: Iterable[Path]) -> dict[str, Any]:
    """Return the entries of those of the files that Kedro reads credentials from, with interpolations."""
    import yaml

    found: dict[str, Any] = {}
    for file in files:
        parts = Path(os.path.relpath(file, project.conf)).parts
        is_one = any(part.startswith("credentials") for part in parts) and file.suffix in _SUFFIXES
        if is_one and file.is_file():
            with contextlib.suppress(yaml.YAMLError):
                content = yaml.safe_load(file.read_text("utf-8", "replace"))
                found.update(content if isinstance(content, dict) else {})
    return found


def _variables(entries: Mapping[str, Any], name: str, seen: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield the variables of an entry and of those that it refers to, and whether each has a default."""
    seen.add(name)
    for text in _texts(entries[name]):
        yield from ((variable, bool(comma)) for variable, comma in _VARIABLE.findall(text))
        for other in _REFERENCE.findall(text):
            if other in entries and other not in seen:
                yield from _variables(entries, other, seen)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
