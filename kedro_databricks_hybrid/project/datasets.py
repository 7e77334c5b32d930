"""Find the local paths of the datasets that the project's pipelines read and write."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from kedro.framework.startup import ProjectMetadata
    from kedro.io import CatalogConfigResolver
    from kedro.pipeline import Pipeline

PATH_KEYS = ("filepath", "path", "filename")
"""The keys of a dataset's configuration that Kedro itself treats as paths."""

_IN_MEMORY = {"{default}": {"type": "kedro.io.MemoryDataset"}}
_GLOB = frozenset("*?[")


class UnknownDataError(TransferError):
    """The project cannot be loaded, so its datasets are unknown."""


@dataclass(frozen=True)
class ProjectData:
    """The local paths of the datasets in a project's pipelines; they need not exist.

    Args:
        inputs: Paths that the chosen pipelines read and no pipeline writes.
        outputs: Paths that the chosen pipelines write.
        results: Paths that any pipeline writes.
    """

    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    results: tuple[Path, ...]


def of_project(metadata: ProjectMetadata, pipeline_names: Collection[str] = ()) -> ProjectData:
    """Return the paths of a project's datasets.

    Args:
        metadata: The project's metadata from Kedro's CLI.
        pipeline_names: The chosen pipelines; none means all.

    Raises:
        TransferError: The project cannot be loaded, or has no such pipeline.
    """
    catalog = _Catalog(metadata)
    everything = catalog.pipelines
    unknown = sorted(set(pipeline_names) - set(everything))
    if unknown:
        raise TransferError(
            f"The project has no pipeline {', '.join(unknown)}.",
            hint=f"It has {', '.join(sorted(everything))}.",
        )
    chosen = [everything[name] for name in pipeline_names] or list(everything.values())
    written = _outputs(everything.values())
    read = {name for pipeline in chosen for name in pipeline.inputs() if _untranscoded(name) not in written}
    return ProjectData(
        inputs=catalog.paths(read),
        outputs=catalog.paths(_outputs_as_named(chosen)),
        results=catalog.paths(_outputs_as_named(everything.values())),
    )


def of_datasets(metadata: ProjectMetadata, names: Iterable[str]) -> tuple[Path, ...]:
    """Return the local paths of datasets by their names in the catalog.

    Raises:
        TransferError: The project cannot be loaded.
    """
    return _Catalog(metadata).paths(names)


class _Catalog:
    """The project's catalog and pipelines, without credentials, which this machine may not have."""

    def __init__(self, metadata: ProjectMetadata) -> None:
        from kedro.framework.project import pipelines, settings
        from kedro.io import CatalogConfigResolver

        self._project = metadata.project_path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a run shows them
                loader = settings.CONFIG_LOADER_CLASS(
                    conf_source=str(self._project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS
                )
                self._resolver: CatalogConfigResolver = CatalogConfigResolver(
                    _without_credentials(loader["catalog"]), default_runtime_patterns=_IN_MEMORY
                )
                self.pipelines: dict[str, Pipeline] = dict(pipelines)
        except Exception as error:  # whatever the project's own code raises
            raise UnknownDataError(
                f"The project cannot be loaded to find its data: {type(error).__name__}: {error}",
                hint="Fix it, or use --no-data (only code) or --all-data (the whole data folder).",
            ) from error

    def paths(self, names: Iterable[str]) -> tuple[Path, ...]:
        configs = [self._resolver.resolve_pattern(name) for name in sorted(names)]
        found = [self._project / path for config in configs for path in _paths_in(config)]
        return tuple(dict.fromkeys(each for path in found for each in self._expanded(path)))

    def _expanded(self, path: Path) -> list[Path]:
        """Return the files that a pattern such as `data/01_raw/*.csv` matches, or the path itself."""
        if path.exists() or not _GLOB.intersection(str(path.relative_to(self._project))):
            return [path]
        return sorted(self._project.glob(str(path.relative_to(self._project))))


def _outputs(pipelines: Iterable[Pipeline]) -> set[str]:
    return {_untranscoded(name) for name in _outputs_as_named(pipelines)}


def _outputs_as_named(pipelines: Iterable[Pipeline]) -> set[str]:
    return {name for pipeline in pipelines for name in pipeline.all_outputs()}


def _paths_in(config: object) -> Iterator[str]:
    """Yield the relative paths in a dataset's configuration, at any depth."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key in PATH_KEYS and isinstance(value, str):
                if "://" not in value and not Path(value).is_absolute():
                    yield value
            else:
                yield from _paths_in(value)
    elif isinstance(config, list):
        for value in config:
            yield from _paths_in(value)


def _untranscoded(name: str) -> str:
    return name.partition("@")[0]


def _without_credentials(catalog: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: value for key, value in config.items() if key != "credentials"}
        if isinstance(config, dict)
        else config
        for name, config in catalog.items()
    }
