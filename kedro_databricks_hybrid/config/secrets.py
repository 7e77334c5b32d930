"""Read a Databricks secret, on a cluster or on this machine."""

from __future__ import annotations

import os
import re
from typing import Any

from kedro_databricks_hybrid.errors import HybridError, NotFoundError, WorkspaceError
from kedro_databricks_hybrid.spark.session import on_cluster, spark_location

revealed: set[str] = set()
"""The values that this process has read. The driver removes them from everything that it writes."""


def read(scope: str, key: str) -> str:
    """Return a secret: on a cluster from dbutils, elsewhere from the environment or else the workspace.

    The environment variable is DATABRICKS_SECRET_<SCOPE>_<KEY> in capitals; every character that is not a
    letter or digit becomes an underscore.

    Raises:
        HybridError: The secret does not exist, or may not be read.
    """
    if on_cluster():
        return _by_dbutils(scope, key)
    variable = re.sub(r"[^A-Z0-9]", "_", f"DATABRICKS_SECRET_{scope}_{key}".upper())
    value = os.environ.get(variable)
    if value is not None:
        return value
    try:
        return _by_workspace(scope, key)
    except HybridError as error:
        raise type(error)(
            f"Secret {key} of scope {scope} could not be read: {error.message}",
            hint=f"Set the environment variable {variable}, or log in to the workspace that has the secret.",
        ) from error


def find(scope: str, key: str) -> str | None:
    """Return a secret of the workspace that the run uses; None if it or its scope does not exist.

    Raises:
        HybridError: It may not be read.
    """
    try:
        return _by_dbutils(scope, key) if on_cluster() else _by_workspace(scope, key)
    except NotFoundError:
        return None


def _by_workspace(scope: str, key: str) -> str:
    from kedro_databricks_hybrid.databricks import answers, workspace

    if spark_location() == "connect":
        from kedro_databricks_hybrid.spark import connect

        connected = connect.workspace_of_run()
    else:
        connected = workspace.connect(os.environ.get("DATABRICKS_CONFIG_PROFILE"))
    with workspace.translated(f"read secret {key} of scope {scope}"):
        return _noted(answers.text(connected.client.secrets.get_secret(scope, key).value))


def _by_dbutils(scope: str, key: str) -> str:
    try:
        return _noted(str(_dbutils().secrets.get(scope=scope, key=key)))
    except WorkspaceError:
        raise
    # Errors of the JVM arrive as one of several unrelated classes.
    except Exception as error:  # noqa: BLE001
        message = f"Secret {key} of scope {scope} could not be read"
        if "does not exist" in str(error):
            raise NotFoundError(f"{message}: it does not exist.", hint=_LIST) from None
        raise WorkspaceError(f"{message}: {type(error).__name__}.", hint=_LIST) from None


_LIST = "`databricks secrets list-secrets` lists the secrets of a scope."


def _noted(value: str) -> str:
    revealed.update([value, *value.splitlines()])
    return value


def _dbutils() -> Any:  # noqa: ANN401
    """Return the dbutils of the notebook, or create one for the driver's Spark session."""
    import sys

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and "dbutils" in shell.user_ns:
        return shell.user_ns["dbutils"]
    try:
        from pyspark.dbutils import DBUtils  # type: ignore[import-not-found]  # only on Databricks
    except ImportError:
        raise WorkspaceError("This driver has no dbutils, so it cannot read secrets.") from None
    from pyspark.sql import SparkSession

    return DBUtils(SparkSession.builder.getOrCreate())
