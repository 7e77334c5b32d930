"""The program of one Spark Connect server: the one of pyspark, with a cluster's folders at their paths.

python -m databricks_sandbox.connect.program PORT

It prints `ready` once it serves, and serves until it is killed.
"""

from __future__ import annotations

import os
import signal
import sys

TOKEN_VARIABLE = "SANDBOX_CONNECT_TOKEN"  # noqa: S105 - the variable's name
"""Holds the token of callers, so that other users of this machine cannot use the server's port."""

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
