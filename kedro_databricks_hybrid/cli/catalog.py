"""`kedro databricks catalog`: each dataset, and where it points in each env."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import click
from kedro.config import MissingConfigException

from kedro_databricks_hybrid.cli.options import Command, env_option, say, say_json
from kedro_databricks_hybrid.cli.output import table_lines
from kedro_databricks_hybrid.config import catalog_paths
from kedro_databricks_hybrid.errors import HybridError, SettingsError
from kedro_databricks_hybrid.project import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.framework.startup import ProjectMetadata

_PASSWORD = re.compile(r"//[^/@:]*:[^/@]*@")
_IN_MEMORY = "MemoryDataset"


@click.command(cls=Command)
@env_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def catalog(metadata: ProjectMetadata, env: str | None, as_json: bool) -> None:
    """Show each dataset and where it points in each env.

    Without --env, in the default env and in those whose databricks.yml gives a data root. A name in braces is
    the pattern of a dataset factory.
    """
    if env:
        settings.require_env(metadata.project_path, env)
    envs = [env] if env else _envs(metadata)
    read = {each: _catalog(metadata, each) for each in envs}
    names = list(dict.fromkeys(name for entries in read.values() for name in entries))
    rows = [_Row(name, {each: entries.get(name) for each, entries in read.items()}) for name in names]
    if as_json:
        say_json([row.document() for row in rows])
        return
    if not rows:
        say("The catalog holds no dataset.")
        return
    for line in table_lines(["dataset", "type", *envs], [row.cells() for row in rows]):
        say(line)


class _Row:
    """One dataset: its entry in the catalog of each env, None where there is none."""

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        self._name = name
        self._entries = entries

    def cells(self) -> list[str]:
        paths = [", ".join(_places(entry)) or "-" for entry in self._entries.values()]
        return [self._name, " or ".join(self._types()), *paths]

    def document(self) -> dict[str, Any]:
        return {
            "dataset": self._name,
            "type": " or ".join(self._types()),
            "paths": {env: _places(entry) for env, entry in self._entries.items()},
        }

    def _types(self) -> list[str]:
        kinds = (_type(entry) for entry in self._entries.values() if entry is not None)
        return list(dict.fromkeys(kinds))


def _type(entry: object) -> str:
    kind = entry.get("type", "") if isinstance(entry, dict) else ""
    return kind if isinstance(kind, str) else kind.__name__


def _places(entry: object) -> list[str]:
    """Return the paths and tables that an entry names, without a password."""
    return [_PASSWORD.sub("//***@", place) for place in catalog_paths.places(entry)]


def _envs(metadata: ProjectMetadata) -> list[str]:
    """Return the env that Kedro takes by default, and those whose data lie on Databricks."""
    from kedro.framework.project import settings as project_settings

    conf = metadata.project_path / project_settings.CONF_SOURCE
    default = project_settings.CONFIG_LOADER_ARGS.get("default_run_env") or "local"
    others = sorted(path.parent.name for path in conf.glob(f"*/{settings.FILE_NAME}"))
    return [default, *(each for each in others if each not in {default, settings.BASE_ENV})]


def _catalog(metadata: ProjectMetadata, env: str) -> dict[str, Any]:
    """Return the entries of an env's catalog by their names, as the project's own loader gives them."""
    from kedro.framework.project import settings as project_settings

    conf = metadata.project_path / project_settings.CONF_SOURCE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what concerns a run is said when it runs
            loader = project_settings.CONFIG_LOADER_CLASS(
                conf_source=str(conf), env=env, **project_settings.CONFIG_LOADER_ARGS
            )
            found: dict[str, Any] = loader["catalog"]
    except (HybridError, MissingConfigException) as error:
        if isinstance(error, HybridError):
            raise
        if not (conf / env).is_dir():  # Git does not carry conf/local
            return {}
        raise SettingsError(f"The catalog of env {env} cannot be read: {error}") from error
    except Exception as error:  # whatever a resolver, YAML or a loader of the project's own raises
        words = " ".join(str(error).split())
        raise SettingsError(
            f"The catalog of env {env} cannot be read: {type(error).__name__}: {words}"
        ) from error
    return {name: entry for name, entry in found.items() if not name.startswith("_")}
