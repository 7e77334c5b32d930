"""The program of a context: an IPython kernel with the names of a Databricks notebook.

python -m databricks_sandbox.kernel.inside.startup -f CONNECTION_FILE
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config

from . import (
    dbfs_mount,
    dbruntime,
    dbutils,
    interruptible,
    lazy_spark,
    magics,
    notebook_context,
    serverless_messages,
)
from .display import display, display_html

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def main(arguments: list[str]) -> None:
    """Serve the kernel until it is killed."""
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.IPKernelApp.capture_fd_output = False  # the JVM's log is not a cell's output
    settings.IPKernelApp.parent_handle = 1  # namespace.py watches the parent; ipykernel need not poll
    app: Any = IPKernelApp.instance(config=settings, kernel_class=interruptible.Kernel)
    app.initialize(arguments)
    dbfs_mount.refuse_if_missing()
    prepare(app.shell)
    app.start()


def prepare(shell: InteractiveShell) -> None:
    """Define Databricks' names in the notebook, and the modules from which other code imports them."""
    warnings.filterwarnings("ignore", "To exit: use", UserWarning)  # IPython's hint after `sys.exit`
    sys.modules["dbruntime"] = dbruntime  # what `databricks.sdk.runtime` imports from
    sys.modules["dbruntime.sdk_credential_provider"] = dbruntime
    sys.modules["dbruntime.databricks_repl_context"] = notebook_context
    sys.modules["pyspark.dbutils"] = dbutils
    shell.ast_transformers.append(lazy_spark.SparkOnDemand())
    shell.user_ns.update(dbutils=dbutils.DBUtils(), display=display, displayHTML=display_html)
    magics.register(shell)
    if lazy_spark.IS_CONNECT:
        serverless_messages.use()
    shell.events.register("pre_run_cell", lazy_spark.name_jobs)
    shell.events.register("post_run_cell", lazy_spark.stop_jobs_if_cancelled)


if __name__ == "__main__":
    main(sys.argv[1:])
