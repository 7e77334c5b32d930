"""Kedro's hooks, registered by installing the package; each a few lines that call down."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from click import ClickException, echo, get_current_context
from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.spark import session as spark_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

_log = logging.getLogger(__name__)
_INSTEAD = {
    False: "Write /dbfs/... or /Volumes/... for the cluster, or dbfs:///... to go through Databricks' API.",
    True: "Have it open them by fsspec, or give it a file of this machine in the env's own catalog.",
}


class WrongPlaceError(ClickException):
    """The run cannot work where or how it was started; `kedro run` prints one line."""


class DatabricksHooks:
    """Refuses runs that cannot work here, and starts Spark for those that need it."""

    def __init__(self) -> None:
        self._config_loader: AbstractConfigLoader | None = None
        self._connected = False

    # First, because a project's own SparkHooks ask for a session here, and Databricks Connect has none yet.
    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the config loader for the run; a run by Databricks Connect gets its session at once.

        Raises:
            WrongPlaceError: Databricks Connect got no session.
        """
        self._config_loader = context.config_loader
        self._connected = False
        if _is_run_command() and self._is_behind_connect():
            self._connect()

    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse a run that cannot work, then start Spark where the run needs it.

        Raises:
            WrongPlaceError: The data are out of reach, or the runner cannot use Spark.
        """
        loader = self._config_loader
        if loader is None:
            return
        if getattr(loader, "maps_data", False) and spark_session.place() == "local":
            raise _wrong_place(loader, run_params.get("env"))
        if _connect_is_asked_for() and not self._is_behind_connect():
            raise _data_are_here(loader)
        _quietly("The catalog was not checked", lambda: _check_catalog(run_params, pipeline, catalog))
        if self._is_behind_connect():
            self._connect()
            _quietly("The session was not checked", _check_shared)
            _quietly("Versions of Spark datasets are sought here", lambda: _seek_there(pipeline, catalog))
            _quietly("spark.yml was not applied", lambda: _apply_there(loader))
            return
        _quietly("Spark was not started from spark.yml", lambda: _start_spark(loader, pipeline, catalog))

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401
        """Stop a run by Databricks Connect whose table is another session's."""
        if self._connected:
            _quietly(f"Dataset {dataset_name} was not checked", lambda: _check_data(dataset_name, data))

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401
        """Stop a run by Databricks Connect whose table is another session's."""
        if self._connected:
            _quietly(f"Dataset {dataset_name} was not checked", lambda: _check_data(dataset_name, data))

    def _is_behind_connect(self) -> bool:
        return spark_session.place() == "connect" and bool(getattr(self._config_loader, "maps_data", False))

    def _connect(self) -> None:
        def start() -> None:
            from kedro_databricks_hybrid.spark import connect

            settings = self._config_loader.settings  # type: ignore[union-attr]
            connect.start(settings.compute.cluster, lambda line: echo(line, err=True))

        _refuse_if_failed(start)
        self._connected = True


def _quietly(failure: str, work: Callable[[], None]) -> None:
    """Do what a run can do without: it must not fail for what was meant to be a convenience."""
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


def _seek_there(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
    """Have versioned Spark datasets seek their versions on Databricks: kedro-datasets looks at this disk."""
    from kedro_databricks_hybrid.filesystem import DatabricksFileSystem

    for name in sorted(pipeline.datasets()):
        for each in _with_inner(catalog.get(name)):
            on_databricks = getattr(each, "_protocol", None) in {"dbfs", "file"}
            if on_databricks and getattr(each, "_version", None) and _is_spark_dataset(each):
                files = DatabricksFileSystem()
                each._exists_function, each._glob_function = files.exists, files.glob  # type: ignore[attr-defined]  # noqa: SLF001


def _is_run_command() -> bool:
    """Tell whether this is a run: `kedro catalog` and notebooks make a context too, and need no cluster."""
    context = get_current_context(silent=True)
    return context is not None and context.info_name == "run"


def _wrong_place(loader: Any, env: str | None) -> WrongPlaceError:  # noqa: ANN401
    name = env or loader.run_env
    return WrongPlaceError(
        f"The data of env {name} lie on Databricks ({loader.settings.data.root}), out of reach from here; "
        f"run it there with `kedro databricks run --env={name}`, or install databricks-connect."
    )


def _data_are_here(loader: Any) -> WrongPlaceError:  # noqa: ANN401
    return WrongPlaceError(
        f"The data of env {getattr(loader, 'run_env', 'local')} are on this machine, where Spark on "
        "Databricks does not see them. Name an env whose databricks.yml gives data.root with --env, in a "
        "project whose settings.py has CONFIG_LOADER_CLASS = DatabricksConfigLoader."
    )


def _connect_is_asked_for() -> bool:
    asked = sys.modules.get("kedro_databricks_hybrid.spark.connect")
    return asked is not None and asked.is_asked_for()


def _check_catalog(
    run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    """Refuse what would fail in words that nobody understands, or go wrong in silence."""
    used = {name: catalog.get(name) for name in sorted(pipeline.datasets())}
    for name, dataset in used.items():
        _refuse_local_dbfs(name, dataset)
    with_spark = [name for name, dataset in used.items() if _is_spark_dataset(dataset)]
    if with_spark and "ParallelRunner" in str(run_params.get("runner") or ""):
        raise WrongPlaceError(
            "ParallelRunner runs nodes in processes of their own, and Spark's session lives in this one "
            f"alone: Spark datasets ({', '.join(with_spark)}) cannot be used there. Take "
            "--runner=ThreadRunner, or none: Spark itself works in parallel."
        )


def _refuse_local_dbfs(name: str, dataset: object) -> None:
    """Refuse a path that fsspec takes for a local folder called `dbfs:`."""
    if _is_spark_dataset(dataset):
        return
    for each in _with_inner(dataset):
        path = str(getattr(each, "_filepath", None) or getattr(each, "_path", None) or "")
        if getattr(each, "_protocol", "file") == "file" and path.startswith("dbfs:"):
            raise WrongPlaceError(
                f"Dataset {name} would be a local folder called `dbfs:`: {type(each).__name__} opens files, "
                f"and takes {path} for one here. {_INSTEAD[spark_session.place() == 'connect']}"
            )


def _start_spark(
    loader: AbstractConfigLoader, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    # Behind Databricks Connect, in an env whose data are here, Spark is the project's own affair. Where Spark
    # plays no part spark.yml is not even read: Kedro's loader may warn of something each time it reads.
    if spark_session.place() == "connect" or not _uses_spark(pipeline, catalog):
        return
    if conf := _spark_yml(loader):
        spark_session.start(conf)


def _apply_there(loader: AbstractConfigLoader) -> None:
    """Apply spark.yml to this run's session behind Databricks Connect."""
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
    """Say whether a pipeline reads or writes with Spark, or holds nodes whose module imports it."""
    if any(_is_spark_dataset(catalog.get(name)) for name in sorted(pipeline.datasets())):
        return True
    return "pyspark" in sys.modules and any(
        _imports_pyspark(node.func.__module__) for node in pipeline.nodes if hasattr(node.func, "__module__")
    )


def _is_spark_dataset(dataset: object) -> bool:
    """Look at the dataset, and at the one inside of a CachedDataset or PartitionedDataset."""
    return any(
        spark_session.is_spark_class(each if isinstance(each, type) else type(each))
        for each in _with_inner(dataset)
    )


def _with_inner(dataset: object) -> Iterable[object]:
    """Return a dataset, and the one or the class inside of a CachedDataset or PartitionedDataset."""
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
