"""The program of one Spark Connect server: pyspark's own, where a cluster's folders lie at their paths.

python -m kedro_databricks_hybrid.sandbox.connect.program PORT

It says `ready` on standard output once it serves, and serves until it is ended.
"""

from __future__ import annotations

import os
import signal
import sys

TOKEN_VARIABLE = "SANDBOX_CONNECT_TOKEN"  # noqa: S105 - the variable's name
"""Holds what a caller must show, so that nobody else on this machine reaches the server past the door."""

_PLUGIN = "org.apache.spark.sql.connect.SparkConnectPlugin"


def main(arguments: list[str]) -> None:
    """Serve on the given port of 127.0.0.1."""
    from pyspark.sql import SparkSession

    SparkSession.builder.config(
        map={
            "spark.plugins": _PLUGIN,
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": arguments[0],
            "spark.connect.authenticate.token": os.environ.pop(TOKEN_VARIABLE),
        }
    ).getOrCreate()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
