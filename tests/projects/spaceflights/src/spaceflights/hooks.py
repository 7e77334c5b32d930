"""The project's own Spark session."""

import logging

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
        session = builder.getOrCreate()
        partitions = session.conf.get("spark.sql.shuffle.partitions")
        logging.getLogger(__name__).info("Spark has %s shuffle partitions", partitions)
