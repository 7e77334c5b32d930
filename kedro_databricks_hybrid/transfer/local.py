"""The local data folder: its files, and which of them the pipelines read."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import TransferError
from kedro_databricks_hybrid.transfer.plan import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kedro.framework.startup import ProjectMetadata

_CHUNK = 1024 * 1024
_PATH_KEYS = ("filepath", "path", "filename")
_IN_MEMORY = {"{default}": {"type": "kedro.io.MemoryDataset"}}
_MARKERS = {".gitkeep", ".DS_Store"}


def input_paths(metadata: ProjectMetadata) -> list[Path]:
    """Return the local paths of the datasets that the project's pipelines read and none of them writes.

    Args:
        metadata: The project, as Kedro's CLI hands it over.

    Raises:
        TransferError: The project's pipelines or its catalog cannot be loaded here.
    """
    from kedro.framework.project import pipelines, settings
    from kedro.io import CatalogConfigResolver

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what concerns a run is said when it runs
            loader = settings.CONFIG_LOADER_CLASS(
                conf_source=str(metadata.project_path / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS
            )
            resolver = CatalogConfigResolver(
                _without_credentials(loader["catalog"]), default_runtime_patterns=_IN_MEMORY
            )
            everything = list(pipelines.values())
    except Exception as error:  # whatever the project's own code raises
        raise TransferError(
            f"The project cannot be loaded here to see which data it reads: {type(error).__name__}: {error}",
            hint="Mend it, or choose with --no-data (code alone) or --all-data (the whole data folder).",
        ) from error
    read = {_untranscoded(name) for pipeline in everything for name in pipeline.inputs()}
    written = {_untranscoded(name) for pipeline in everything for name in pipeline.all_outputs()}
    named = {name for pipeline in everything for name in pipeline.inputs()}
    configs = [
        resolver.resolve_pattern(name) for name in sorted(named) if _untranscoded(name) in read - written
    ]
    paths = [metadata.project_path / path for config in configs for path in _paths_in(config)]
    return list(dict.fromkeys(paths))


def files_below(data: Path, chosen: Iterable[Path] | None) -> list[LocalFile]:
    """Return the files of the data folder, sorted, each read once for its SHA-256.

    Args:
        data: The data folder.
        chosen: Files and folders in it to restrict to; None takes all.

    Raises:
        TransferError: A file cannot be read.
    """
    found = sorted(set(_walk([data] if chosen is None else list(chosen), data)))
    try:
        return [_local_file(data, path) for path in found]
    except OSError as error:
        raise TransferError(
            f"{error.filename} cannot be read: {error.strerror}.", hint="Mend its permissions or remove it."
        ) from error


def layer_folders(data: Path) -> list[str]:
    """Return the names of the folders directly in the data folder: Kedro's layers."""
    if not data.is_dir():
        return []
    return sorted(entry.name for entry in data.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _walk(starts: list[Path], data: Path) -> Iterator[Path]:
    for start in starts:
        candidates = start.rglob("*") if start.is_dir() else [start]
        for path in candidates:
            inside = path.is_relative_to(data) and path.resolve().is_relative_to(data.resolve())
            if inside and path.is_file() and path.name not in _MARKERS:
                yield path


def _local_file(data: Path, path: Path) -> LocalFile:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return LocalFile(PurePosixPath(path.relative_to(data).as_posix()), size, digest.hexdigest())


def _paths_in(config: object) -> Iterator[str]:
    """Yield the relative paths that a dataset's configuration holds, at any depth."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key in _PATH_KEYS and isinstance(value, str):
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
    """Return a catalog whose paths can be told without the credentials, which this clone may lack."""
    return {
        name: {key: value for key, value in config.items() if key != "credentials"}
        if isinstance(config, dict)
        else config
        for name, config in catalog.items()
    }
