"""Read a project's pipelines and catalog, and find the local paths of its datasets."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import RunError, SettingsError, TransferError
from kedro_databricks_hybrid.project import settings_py

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from kedro.framework.startup import ProjectMetadata
    from kedro.io import CatalogConfigResolver
    from kedro.pipeline import Pipeline

PATH_KEYS = ("filepath", "path", "filename")
"""The keys of a dataset's configuration that Kedro itself treats as paths."""

_TAKES_A_PATH = re.compile(
    r"path|file|dir(ectory)?$|folder|database|location|checkpoint|uri$|warehouse|store|^con$", re.IGNORECASE
)
_DATABASE = re.compile(r"((?:sqlite|duckdb)(?:\+\w+)?:///)([^/?:][^?]*)(.*)", re.DOTALL)

NOT_READ = frozenset({"type", "metadata", "credentials"})
"""Keys of a dataset's configuration whose values are no data of the dataset."""

_IN_MEMORY = {"{default}": {"type": "kedro.io.MemoryDataset"}}
_GLOB = frozenset("*?[")
_NOT_IMPORTED = "An error occurred while importing the '"  # how Kedro's find_pipelines warns
_USER = "KEDRO_DATABRICKS_USER"
_CONF_SOURCE = "CONF_SOURCE"


class UnknownDataError(TransferError):
    """The project cannot be loaded, so its datasets are unknown."""


@dataclass(frozen=True)
class CatalogOptions:
    """How to read the catalog: the options of `kedro run` that change it.

    Args:
        env: The Kedro env; None for Kedro's default.
        params: The parameters of `--params`.
        pipelines: The chosen pipelines; none means all.
        user: The user's name at Databricks, for `${databricks.user:}`.
        conf: The folder of the configuration; None for that of the project's settings.
    """

    env: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    pipelines: Collection[str] = ()
    user: str | None = None
    conf: Path | None = None


@dataclass(frozen=True)
class ProjectData:
    """The local paths of the datasets in a project's pipelines; they need not exist.

    Args:
        named_inputs: Datasets with paths that the chosen pipelines read and no pipeline writes.
        outputs: Paths that the chosen pipelines write.
        results: Paths that any pipeline writes.
        unknown: The modules with pipelines that cannot be imported here, each with its error.
    """

    named_inputs: Mapping[str, tuple[Path, ...]]
    outputs: tuple[Path, ...]
    results: tuple[Path, ...]
    unknown: Mapping[str, str]

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Paths that the chosen pipelines read and no pipeline writes."""
        return tuple(dict.fromkeys(path for paths in self.named_inputs.values() for path in paths))


class ProjectCatalog:
    """A project's pipelines and catalog, without credentials, which this machine may not have.

    The catalog is that of the env, but with its paths in the local data folder.

    Args:
        metadata: The project's metadata from Kedro's CLI.
        options: How to read the catalog.

    Raises:
        UnknownDataError: The project cannot be loaded.
    """

    def __init__(self, metadata: ProjectMetadata, options: CatalogOptions) -> None:
        from kedro.framework.project import pipelines
        from kedro.io import CatalogConfigResolver

        self._metadata = metadata
        self._project = metadata.project_path
        self._options = options
        try:
            with warnings.catch_warnings(record=True) as caught, _user(options.user):
                warnings.simplefilter("always")
                self._config = config_loader(metadata, options, local=True)["catalog"]
                catalog = {name: _without_credentials(each) for name, each in self._config.items()}
                self._resolver: CatalogConfigResolver = CatalogConfigResolver(
                    catalog, default_runtime_patterns=_IN_MEMORY
                )
                self._names = set(catalog)
                self.pipelines: dict[str, Pipeline] = dict(pipelines)
        except Exception as error:  # whatever the project's own code raises
            reason = f"{type(error).__name__}: {error}"
            hint = "Fix it, or use --no-data (only code) or --all-data (the whole data folder)."
            if isinstance(error, SettingsError):
                reason, hint = error.message, error.hint or hint
            elif "Runtime parameter" in reason:
                hint = "Give its value with --params, as for the run."
            message = f"The project cannot be loaded to find its data: {reason}"
            raise UnknownDataError(message, hint=hint) from error
        self.unknown = dict(_not_imported(str(each.message)) for each in caught if _is_about_import(each))

    @property
    def chosen(self) -> list[Pipeline]:
        """The chosen pipelines.

        Raises:
            TransferError: The project has no such pipeline.
        """
        names = self._options.pipelines
        if unknown := sorted(set(names) - set(self.pipelines)):
            raise TransferError(
                f"The project has no pipeline {', '.join(unknown)}.",
                hint=_nearest(unknown[0], self.pipelines),
            )
        return [self.pipelines[name] for name in names] or list(self.pipelines.values())

    def entries(self) -> set[str]:
        """Return the names of the catalog's entries and patterns that the chosen pipelines use."""
        names = {name for pipeline in self.chosen for name in pipeline.datasets()}
        return {self._entry(name) for name in names} - {""}

    def credentials(self) -> dict[str, list[str]]:
        """Return the names of the credentials that the chosen pipelines need, each with its datasets."""
        found: dict[str, list[str]] = {}
        for entry in sorted(self.entries()):
            for name in credentials_in(self._config.get(entry)):
                found.setdefault(name, []).append(entry)
        return found

    def used(self) -> dict[str, Any]:
        """Return the configurations of the catalog's entries that the chosen pipelines use."""
        return {name: self._config[name] for name in sorted(self.entries()) if name in self._config}

    def mapped(self) -> dict[str, Any] | None:
        """Return the catalog as a run on Databricks reads it; None if the env does not map its paths."""
        try:
            with warnings.catch_warnings(), _user(self._options.user):
                warnings.simplefilter("ignore")
                loader = config_loader(self._metadata, self._options)
                return dict(loader["catalog"]) if getattr(loader, "maps_data", False) else None
        except Exception:  # noqa: BLE001 - whatever the project's own loader raises; the run will say it
            return None

    def left_in(self, folder: Path) -> list[str]:
        """Return the paths in a local folder that runs on Databricks get from another config loader."""
        try:
            with warnings.catch_warnings(), _user(self._options.user):
                warnings.simplefilter("ignore")
                config = config_loader(self._metadata, self._options)["catalog"]
        except Exception:  # noqa: BLE001 - whatever the project's own loader raises; the run will say it
            return []
        found = {path for name in self.entries() for path in _paths_in(config.get(name))}
        plain = {path: Path(os.path.normpath(self._project / path)) for path in found}
        return sorted(path for path in found if plain[path].is_relative_to(folder))

    def written(self) -> set[str]:
        """Return the names of the entries that the chosen pipelines write."""
        return {self._entry(name) for name in _outputs(self.chosen)}

    def data(self) -> ProjectData:
        """Return the paths of the datasets of the chosen pipelines.

        Raises:
            TransferError: The project has no such pipeline.
        """
        chosen = self.chosen
        written = {_untranscoded(name) for name in _outputs(self.pipelines.values())}
        read = {
            name for pipeline in chosen for name in pipeline.inputs() if _untranscoded(name) not in written
        }
        found = {name: self.paths([name]) for name in sorted(read)}
        return ProjectData(
            named_inputs={name: paths for name, paths in found.items() if paths},
            outputs=self.paths(_outputs(chosen)),
            results=self.paths(_outputs(self.pipelines.values())),
            unknown=self.unknown,
        )

    def paths(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Return the local paths of datasets by their names in the catalog."""
        configs = [self._resolver.resolve_pattern(name) for name in sorted(names)]
        found = [self._project / path for config in configs for path in _paths_in(config)]
        return tuple(dict.fromkeys(each for path in found for each in self._expanded(path)))

    def refuse_unknown_names(self, given: Mapping[str, Any]) -> None:
        """Refuse options of `kedro run` that select no node, with the nearest name.

        Args:
            given: The options, by their names in Kedro's command.

        Raises:
            RunError: Kedro would refuse them.
            TransferError: The project has no such pipeline.
        """
        default = [each for name, each in self.pipelines.items() if name == "__default__"]
        chosen = self.chosen if self._options.pipelines else default
        if not chosen:
            return  # there is no default pipeline, as Kedro will say
        pipeline = reduce(add, chosen)
        node_names = {node.name for node in pipeline.nodes}
        known: dict[str, tuple[str, str, set[str]]] = {
            "tags": ("tags", "tag", {tag for node in pipeline.nodes for tag in node.tags}),
            "node_names": ("node_names", "node", node_names),
            "from_nodes": ("from_nodes", "node", node_names),
            "to_nodes": ("to_nodes", "node", node_names),
            "namespaces": ("node_namespaces", "namespace", {*map(str, _namespaces(pipeline))}),
            "from_inputs": ("from_inputs", "dataset", pipeline.datasets()),
            "to_outputs": ("to_outputs", "dataset", pipeline.datasets()),
        }
        selected = {
            known[option][0]: values for option, values in given.items() if option in known and values
        }
        try:
            pipeline.filter(**selected)
        except ValueError as error:
            for option, (_, noun, names) in known.items():
                for name in given.get(option) or ():
                    if name not in names:
                        message = f"The pipeline has no {noun} {name!r}."
                        raise RunError(message, hint=_nearest(name, names)) from error
            message = f"These options select nothing: {' '.join(str(error).split())}"
            raise RunError(message, hint="Choose others.") from error

    def _entry(self, name: str) -> str:
        """Return the name of a dataset's entry, which may be a pattern; empty if it has none."""
        if name in self._names:
            return name
        resolver = self._resolver
        return resolver.match_dataset_pattern(name) or resolver.match_user_catch_all_pattern(name) or ""

    def _expanded(self, path: Path) -> list[Path]:
        """Return the files that a pattern such as `data/01_raw/*.csv` matches, or the path itself."""
        if path.exists() or not _GLOB.intersection(str(path.relative_to(self._project))):
            return [path]
        return sorted(self._project.glob(str(path.relative_to(self._project))))


def config_loader(metadata: ProjectMetadata, options: CatalogOptions, *, local: bool = False) -> Any:  # noqa: ANN401
    """Return the project's config loader.

    Args:
        metadata: The project's metadata from Kedro's CLI.
        options: How to read the catalog.
        local: Whether to keep the paths in the local data folder. DatabricksConfigLoader does so in each env;
            another loader reads the default env.

    Raises:
        SettingsError: The project's settings.py cannot be imported.
    """
    settings = imported_settings(metadata.package_name)
    is_another = not hasattr(settings.CONFIG_LOADER_CLASS, "is_local")
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(options.conf or metadata.project_path / settings.CONF_SOURCE),
        env=None if local and is_another else options.env,
        runtime_params=dict(options.params),
        **settings.CONFIG_LOADER_ARGS,
    )
    if local and not is_another:
        loader.is_local = True
    return loader


def imported_settings(package: str) -> Any:  # noqa: ANN401 - an object of Kedro without types
    """Return the project's settings; without the check, Kedro would ignore a settings.py that fails.

    Raises:
        SettingsError: The project's settings.py cannot be imported.
    """
    from kedro.framework.project import settings, validate_settings

    try:
        validate_settings()
    except Exception as error:  # whatever the project's own code raises
        raise SettingsError(
            f"{package}/settings.py cannot be imported: {type(error).__name__}: {error}.",
            hint="Fix it, or install what it imports.",
        ) from error
    return settings


def conf_folder(metadata: ProjectMetadata, given: str | None = None) -> Path:
    """Return the folder of the project's configuration, which its settings.py may rename.

    A settings.py that does not name CONF_SOURCE is not imported, as it may import Spark. One that cannot be
    imported here, as on a machine without the project's packages, is read as text: commands that need no more
    of it still work.

    Args:
        metadata: The project's metadata from Kedro's CLI.
        given: The option `--conf-source`, relative to the project; ignored unless it is a folder here.
    """
    project = metadata.project_path
    if given and (project / given).is_dir():
        return Path(project / given)
    source, name = settings_py.source(metadata), "conf"
    if _CONF_SOURCE in source or "import *" in source:
        try:
            name = imported_settings(metadata.package_name).CONF_SOURCE
        except SettingsError:
            name = settings_py.literal(source, _CONF_SOURCE) or name
    return Path(project / name)


@contextmanager
def _user(name: str | None) -> Iterator[None]:
    """Let `${databricks.user:}` stand for a user that is already known."""
    if name is None or _USER in os.environ:
        yield
        return
    os.environ[_USER] = name
    try:
        yield
    finally:
        del os.environ[_USER]


def _is_about_import(warning: warnings.WarningMessage) -> bool:
    return str(warning.message).startswith(_NOT_IMPORTED)


def _not_imported(message: str) -> tuple[str, str]:
    """Return the module of Kedro's warning about an import, and the last line of the traceback in it."""
    return message.removeprefix(_NOT_IMPORTED).partition("'")[0], message.strip().splitlines()[-1]


def _nearest(name: str, known: Collection[str]) -> str:
    """Return a hint that names the nearest known name, or all."""
    if near := difflib.get_close_matches(name, known, n=1):
        return f"Did you mean {near[0]}?"
    return f"It has {', '.join(sorted(known)) or 'none'}."


def _namespaces(pipeline: Pipeline) -> Iterator[str]:
    """Yield the namespaces of a pipeline, with the outer ones of nested namespaces."""
    for node in pipeline.nodes:
        parts = (node.namespace or "").split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _outputs(pipelines: Iterable[Pipeline]) -> set[str]:
    return {name for pipeline in pipelines for name in pipeline.all_outputs()}


def path_in(key: str, value: str) -> tuple[str, str, str] | None:
    """Return the path that a value of a dataset's configuration has, with the text before and after it.

    That is the value of a key that Kedro treats as a path, of one whose name says that it takes a path, such
    as `database` or `checkpointLocation`, or the file of a database's URL, such as `sqlite:///data/shop.db`.

    Args:
        key: The key of the value, or of the list that it is in.
        value: The value.
    """
    if match := _DATABASE.fullmatch(value):
        return match[1], match[2], match[3]
    is_path = key in PATH_KEYS or ("/" in value and _TAKES_A_PATH.search(key))
    return ("", value, "") if is_path else None


def _paths_in(config: object, key: str = "") -> Iterator[str]:
    """Yield the relative paths in a dataset's configuration, at any depth."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name not in NOT_READ:
                yield from _paths_in(value, str(name))
    elif isinstance(config, list):
        for value in config:
            yield from _paths_in(value, key)
    elif isinstance(config, str):
        found = path_in(key, config)
        if found and "://" not in found[1] and not Path(found[1]).is_absolute():
            yield found[1]


def credentials_in(config: object) -> Iterator[str]:
    """Yield the names of credentials in a dataset's configuration, at any depth, but no patterns."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key != "credentials":
                yield from credentials_in(value)
            elif isinstance(value, str) and "{" not in value:
                yield value
    elif isinstance(config, list):
        for value in config:
            yield from credentials_in(value)


def _untranscoded(name: str) -> str:
    return name.partition("@")[0]


def _without_credentials(config: Any) -> Any:  # noqa: ANN401
    """Return a part of the catalog without the names of credentials, at any depth."""
    if isinstance(config, dict):
        return {key: _without_credentials(each) for key, each in config.items() if key != "credentials"}
    return [_without_credentials(each) for each in config] if isinstance(config, list) else config
