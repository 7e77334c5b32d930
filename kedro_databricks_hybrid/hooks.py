"""The hooks that Kedro calls in every run of a project in whose environment the package is installed."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from click import ClickException, echo, get_current_context
from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from kedro_databricks_hybrid.config.credentials import missing_in
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.spark import session as spark_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

_log = logging.getLogger(__name__)
_HINTS_FOR_DBFS = {
    False: "Use /dbfs/... or /Volumes/... on a cluster, or dbfs:///... to read it with Databricks' API.",
    True: "Use a dataset that opens files with fsspec, or a local path in the env's own catalog.",
}


class WrongPlaceError(ClickException):
    """The run cannot work in this environment or with these options; `kedro run` prints one line."""


class DatabricksHooks:
    """Refuses runs that cannot work in this environment, and starts Spark for those that need it."""

    def __init__(self) -> None:
        self._config_loader: AbstractConfigLoader | None = None
        self._connected = False

    # First, since the project's SparkHooks may ask for a session, which Databricks Connect must provide.
    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Store the config loader; a run through Databricks Connect gets its session at once.

        Raises:
            WrongPlaceError: Databricks Connect could not create a session.
        """
        self._config_loader = context.config_loader
        self._connected = False
        if _is_run_command() and self._is_behind_connect():
            self._connect()

    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse a run that cannot work, then start Spark if the run needs it.

        Raises:
            WrongPlaceError: The data cannot be reached, or the runner cannot use Spark.
        """
        loader = self._config_loader
        if loader is None:
            return
        if getattr(loader, "maps_data", False) and spark_session.spark_location() == "local":
            raise _data_on_databricks(loader, run_params.get("env"))
        if _is_connect_requested() and not self._is_behind_connect():
            raise _data_on_this_machine(loader)
        _try("The credentials were not checked", lambda: _check_credentials(loader, pipeline, catalog))
        _try("The catalog was not checked", lambda: _check_catalog(run_params, pipeline, catalog))
        if self._is_behind_connect():
            self._connect()
            _try("The session was not checked", _check_shared)
            _try(
                "Versions of Spark datasets are searched on this machine",
                lambda: _search_versions_on_databricks(pipeline, catalog),
            )
            _try("spark.yml was not applied", lambda: _apply_spark_yml(loader))
            return
        _try("Spark was not started from spark.yml", lambda: _start_spark(loader, pipeline, catalog))

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401
        """Stop a run through Databricks Connect if the table belongs to another session."""
        if self._connected:
            _try(f"Dataset {dataset_name} was not checked", lambda: _check_data(dataset_name, data))

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401
        """Stop a run through Databricks Connect if the table belongs to another session."""
        if self._connected:
            _try(f"Dataset {dataset_name} was not checked", lambda: _check_data(dataset_name, data))

    def _is_behind_connect(self) -> bool:
        return spark_session.spark_location() == "connect" and bool(
            getattr(self._config_loader, "maps_data", False)
        )

    def _connect(self) -> None:
        def start() -> None:
            from kedro_databricks_hybrid.spark import connect

            settings = self._config_loader.settings  # type: ignore[union-attr]
            connect.start(settings.compute.cluster, lambda line: echo(line, err=True))

        _refuse_if_failed(start)
        self._connected = True


def _try(failure: str, work: Callable[[], None]) -> None:
    """Do something optional: only a WrongPlaceError ends the run, other errors become warnings."""
    try:
        work()
    except WrongPlaceError:
        raise
    except Exception as error:  # noqa: BLE001
        _log.warning("%s: %s: %s", failure, type(error).__name__, error)


def _refuse_if_failed(work: Callable[[], None]) -> None:
    try:
        work()
    except HybridError as error:
        raise WrongPlaceError(str(error)) from error


def _check_shared() -> None:
    from kedro_databricks_hybrid.spark import connect

    _refuse_if_failed(connect.check_shared)


def _check_data(name: str, data: object) -> None:
    from kedro_databricks_hybrid.spark import connect

    _refuse_if_failed(lambda: connect.check_data(name, data))


def _search_versions_on_databricks(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
    """Make versioned Spark datasets search their versions on Databricks instead of the local disk."""
    from kedro_databricks_hybrid.filesystem import DatabricksFileSystem

    for name in sorted(pipeline.datasets()):
        for each in _with_inner(catalog.get(name)):
            on_databricks = getattr(each, "_protocol", None) in {"dbfs", "file"}
            if on_databricks and getattr(each, "_version", None) and _is_spark_dataset(each):
                files = DatabricksFileSystem()
                each._exists_function, each._glob_function = files.exists, files.glob  # type: ignore[attr-defined]  # noqa: SLF001


def _is_run_command() -> bool:
    """Return whether this is `kedro run`; `kedro catalog` and notebooks also create a context."""
    context = get_current_context(silent=True)
    return context is not None and context.info_name == "run"


def _data_on_databricks(loader: Any, env: str | None) -> WrongPlaceError:  # noqa: ANN401
    name = env or loader.run_env
    return WrongPlaceError(
        f"The data of env {name} are on Databricks ({loader.settings.data.root}) and cannot be reached from "
        f"this machine. Use `kedro databricks run --env={name}`, or install databricks-connect."
    )


def _data_on_this_machine(loader: Any) -> WrongPlaceError:  # noqa: ANN401
    return WrongPlaceError(
        f"The data of env {getattr(loader, 'run_env', 'local')} are on this machine, where Spark on "
        "Databricks cannot read them. Use --env with an env whose databricks.yml sets data.root, and set "
        "CONFIG_LOADER_CLASS = DatabricksConfigLoader in the project's settings.py."
    )


def _is_connect_requested() -> bool:
    connect = sys.modules.get("kedro_databricks_hybrid.spark.connect")
    return connect is not None and connect.is_enabled()


def _check_credentials(
    loader: AbstractConfigLoader, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    """Refuse a run whose datasets need credentials that neither the environment nor the secret scope has."""
    resolver = getattr(catalog, "config_resolver", None)
    if resolver is None or not getattr(loader, "completes_credentials", False):
        return
    missing: dict[str, list[str]] = {}

    def find() -> None:
        for name in sorted(pipeline.datasets()):
            for secret in missing_in(resolver.resolve_pattern(name)):
                missing.setdefault(secret, []).append(name)
        if missing:
            raise loader.secret_scope.error(missing)  # type: ignore[attr-defined]

    _refuse_if_failed(find)


def _check_catalog(
    run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    """Refuse catalog entries that would fail with an unclear error, or read and write the wrong files."""
    used = {name: catalog.get(name) for name in sorted(pipeline.datasets())}
    for name, dataset in used.items():
        _refuse_local_dbfs(name, dataset)
    with_spark = [name for name, dataset in used.items() if _is_spark_dataset(dataset)]
    if with_spark and "ParallelRunner" in str(run_params.get("runner") or ""):
        raise WrongPlaceError(
            "ParallelRunner runs nodes in other processes, which cannot use the Spark session: Spark "
            f"datasets ({', '.join(with_spark)}) do not work with it. Use --runner=ThreadRunner "
            "or the default; Spark itself works in parallel."
        )


def _refuse_local_dbfs(name: str, dataset: object) -> None:
    """Refuse a path that fsspec would read as a local folder called `dbfs:`."""
    if _is_spark_dataset(dataset):
        return
    for each in _with_inner(dataset):
        path = str(getattr(each, "_filepath", None) or getattr(each, "_path", None) or "")
        if getattr(each, "_protocol", "file") == "file" and path.startswith("dbfs:"):
            raise WrongPlaceError(
                f"Dataset {name} would use a local folder called `dbfs:`: {type(each).__name__} opens {path} "
                f"as a local path. {_HINTS_FOR_DBFS[spark_session.spark_location() == 'connect']}"
            )


def _start_spark(
    loader: AbstractConfigLoader, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    # With Databricks Connect and local data, the project starts Spark itself. Without Spark, spark.yml is not
    # even read, since Kedro's loader may print warnings each time it reads.
    if spark_session.spark_location() == "connect" or not _uses_spark(pipeline, catalog):
        return
    if conf := _spark_yml(loader):
        spark_session.start(conf)


def _apply_spark_yml(loader: AbstractConfigLoader) -> None:
    """Apply spark.yml to this run's Databricks Connect session."""
    from kedro_databricks_hybrid.spark import connect

    session = connect.session()
    if session is not None and (conf := _spark_yml(loader)):
        spark_session.apply(session, conf)


def _spark_yml(loader: AbstractConfigLoader) -> dict[str, Any]:
    try:
        return loader["spark"] or {}
    except (KeyError, MissingConfigException):
        return {}


def _uses_spark(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> bool:
    """Return whether a pipeline has a Spark dataset, or a node whose module imports pyspark."""
    if any(_is_spark_dataset(catalog.get(name)) for name in sorted(pipeline.datasets())):
        return True
    return "pyspark" in sys.modules and any(
        _imports_pyspark(node.func.__module__) for node in pipeline.nodes if hasattr(node.func, "__module__")
    )


def _is_spark_dataset(dataset: object) -> bool:
    """Return whether the dataset, or the one inside a CachedDataset or PartitionedDataset, uses Spark."""
    return any(
        spark_session.is_spark_class(each if isinstance(each, type) else type(each))
        for each in _with_inner(dataset)
    )


def _with_inner(dataset: object) -> Iterable[object]:
    """Return a dataset, and the dataset or class inside a CachedDataset or PartitionedDataset."""
    return (dataset, getattr(dataset, "_dataset", None), getattr(dataset, "_dataset_type", None))


def _imports_pyspark(module_name: str) -> bool:
    module = sys.modules.get(module_name)
    return (
        any(
            (getattr(value, "__module__", None) or getattr(value, "__name__", None) or "").startswith(
                "pyspark"
            )
            for value in vars(module).values()
        )
        if module
        else False
    )


hooks = DatabricksHooks()
