"""Kedro's hooks, registered by installing the package; each a few lines that call down."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from click import ClickException
from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from kedro_databricks_hybrid import spark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

_log = logging.getLogger(__name__)


class WrongPlaceError(ClickException):
    """The env's data lie on Databricks and this machine cannot reach them; `kedro run` prints one line."""


class DatabricksHooks:
    """Refuses runs that cannot work here, and starts Spark for those that need it."""

    def __init__(self) -> None:
        self._config_loader: AbstractConfigLoader | None = None

    @hook_impl(trylast=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the config loader for the run."""
        self._config_loader = context.config_loader

    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse a run whose data are out of reach, then start Spark where the run needs it.

        Raises:
            WrongPlaceError: The env's catalog points at Databricks, and this is not a cluster.
        """
        loader = self._config_loader
        if loader is None:
            return
        if getattr(loader, "maps_data", False) and spark.place() == "local":
            raise _wrong_place(loader, run_params.get("env"))
        try:
            _start_spark(loader, pipeline, catalog)
        # A run must not fail for what was meant to be a convenience.
        except Exception as error:  # noqa: BLE001
            _log.warning("Spark was not started from spark.yml: %s: %s", type(error).__name__, error)


def _wrong_place(loader: Any, env: str | None) -> WrongPlaceError:  # noqa: ANN401
    name = env or loader.run_env
    return WrongPlaceError(
        f"The data of env {name} lie on Databricks ({loader.settings.data.root}), out of reach from here; "
        f"run it there with `kedro databricks run --env={name}`."
    )


def _start_spark(
    loader: AbstractConfigLoader, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
) -> None:
    try:
        conf = loader["spark"]
    except (KeyError, MissingConfigException):
        return
    # Behind Databricks Connect kedro-datasets make the session.
    if conf and spark.place() != "connect" and _uses_spark(pipeline, catalog):
        spark.start(conf)


def _uses_spark(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> bool:
    """Say whether a pipeline reads or writes with Spark, or holds nodes whose module imports it."""
    if any(_is_spark_dataset(catalog.get(name)) for name in sorted(pipeline.datasets())):
        return True
    return "pyspark" in sys.modules and any(
        _imports_pyspark(node.func.__module__) for node in pipeline.nodes if hasattr(node.func, "__module__")
    )


def _is_spark_dataset(dataset: object) -> bool:
    """Look at the dataset, and at the one inside of a CachedDataset or PartitionedDataset."""
    inside: Iterable[object] = (
        getattr(dataset, "_dataset", None),
        getattr(dataset, "_dataset_type", None),
    )
    classes = [type(dataset), *(each if isinstance(each, type) else type(each) for each in inside)]
    return any(spark.is_spark_class(each) for each in classes)


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
