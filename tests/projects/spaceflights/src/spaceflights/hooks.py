"""The project's own Spark session."""

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from pyspark.sql import SparkSession


class SparkHooks:
    """Makes a Spark session from spark.yml before anything else happens."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Start Spark with the project's settings."""
        builder = SparkSession.builder.appName(context.project_path.name)
        for name, value in context.config_loader["spark"].items():
            builder = builder.config(name, value)
        builder.getOrCreate()
