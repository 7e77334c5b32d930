"""`kedro databricks catalog`: show the path or table of each dataset in each env."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import click
from kedro.config import MissingConfigException

from kedro_databricks_hybrid.cli.options import (
    Command,
    catalog_options,
    env_option,
    json_option,
    say,
    say_json,
)
from kedro_databricks_hybrid.cli.output import print_table
from kedro_databricks_hybrid.config import catalog_paths
from kedro_databricks_hybrid.errors import HybridError, SettingsError
from kedro_databricks_hybrid.project import settings
from kedro_databricks_hybrid.project.datasets import (
    CatalogOptions,
    ProjectCatalog,
    conf_folder,
    config_loader,
    imported_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.framework.startup import ProjectMetadata

_PASSWORD = re.compile(r"//[^/@:]*:[^/@]*@")
_IN_MEMORY = "MemoryDataset"


@click.command(cls=Command)
@env_option
@catalog_options
@json_option
@click.pass_obj
def catalog(
    metadata: ProjectMetadata,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
    as_json: bool,
) -> None:
    """Show the path or table of each dataset in each env.

    Without --env, these are Kedro's default env and every env that has a databricks.yml. A name with braces
    is the pattern of a dataset factory.
    """
    if env:
        settings.require_env(conf_folder(metadata), env)
    envs = [env] if env else _envs(metadata)
    read = {each: _catalog(metadata, CatalogOptions(each, params)) for each in envs}
    names = list(dict.fromkeys(name for entries in read.values() for name in entries))
    if pipelines:
        used = ProjectCatalog(metadata, CatalogOptions(env, params, pipelines)).entries()
        names = [name for name in names if name in used]
    rows = [_Row(name, {each: entries.get(name) for each, entries in read.items()}) for name in names]
    if as_json:
        say_json([row.document() for row in rows])
        return
    if not rows:
        say("The catalog has no datasets.")
        return
    print_table(["dataset", "type", *envs], [row.cells() for row in rows])


class _Row:
    """A dataset with its catalog entry in each env, None where the env does not have it."""

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        self._name = name
        self._entries = entries

    def cells(self) -> list[str]:
        paths = [", ".join(_locations(entry)) or "-" for entry in self._entries.values()]
        return [self._name, " or ".join(self._types()), *paths]

    def document(self) -> dict[str, Any]:
        return {
            "dataset": self._name,
            "type": " or ".join(self._types()),
            "paths": {env: _locations(entry) for env, entry in self._entries.items()},
        }

    def _types(self) -> list[str]:
        types = (_type(entry) for entry in self._entries.values() if entry is not None)
        return list(dict.fromkeys(types))


def _type(entry: object) -> str:
    given = entry.get("type", "") if isinstance(entry, dict) else ""
    return given if isinstance(given, str) else given.__name__


def _locations(entry: object) -> list[str]:
    """Return the paths and tables of an entry, with passwords masked."""
    return [_PASSWORD.sub("//***@", location) for location in catalog_paths.locations(entry)]


def _envs(metadata: ProjectMetadata) -> list[str]:
    """Return Kedro's default env, and those that have a databricks.yml."""
    project_settings = imported_settings(metadata.package_name)
    conf = conf_folder(metadata)
    default = project_settings.CONFIG_LOADER_ARGS.get("default_run_env") or "local"
    others = sorted(path.parent.name for path in conf.glob(f"*/{settings.FILE_NAME}"))
    return [default, *(each for each in others if each not in {default, settings.BASE_ENV})]


def _catalog(metadata: ProjectMetadata, options: CatalogOptions) -> dict[str, Any]:
    """Return the entries of an env's catalog by name, read with the project's config loader."""
    conf = conf_folder(metadata)
    what = f"The catalog of env {options.env} cannot be read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a run shows them again
            found: dict[str, Any] = config_loader(metadata, options)["catalog"]
    except HybridError:
        raise
    except MissingConfigException as error:
        if not (conf / str(options.env)).is_dir():  # conf/local is usually not in Git
            return {}
        raise SettingsError(f"{what}: {error}") from error
    except Exception as error:  # resolvers, YAML and the project's config loader may raise anything
        message = " ".join(str(error).split())
        hint = "Give its value with --params, as for the run." if "Runtime parameter" in message else None
        raise SettingsError(f"{what}: {type(error).__name__}: {message}", hint=hint) from error
    return {name: entry for name, entry in found.items() if not name.startswith("_")}
