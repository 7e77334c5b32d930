"""Push on request, each time in a forked process that a test can kill.

Reads one JSON object a line: host, token, data, root. Writes the fork's pid, then its exit status.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from databricks.sdk.core import Config

from kedro_databricks_hybrid.databricks.client import Client
from kedro_databricks_hybrid.databricks.workspace import Workspace
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.transfer.push import Push, Selection
from kedro_databricks_hybrid.transfer.trees import volume_parts, volumes
from kedro_databricks_hybrid.transfer.trees.open import open_tree


def push(order: dict[str, str]) -> int:
    """Push once and return the exit status of the command."""
    config = Config(host=order["host"], token=order["token"], auth_type="pat", retry_timeout_seconds=20)
    workspace = Workspace(Client(config), "user@example.com", None)
    if "part" in order:  # smaller parts, so that a file need not be so large
        volume_parts.PART = volumes._IN_PARTS = int(order["part"])  # noqa: SLF001
    one = Push(open_tree(workspace, order["root"]), Path(order["data"]), order["root"])
    try:
        one.perform(one.prepare(Selection()))
    except HybridError as error:
        return error.exit_status
    return 0


def main() -> None:
    """Handle requests until stdin closes."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = push(json.loads(line))
            except KeyboardInterrupt:
                status = 130
            finally:
                os._exit(status)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, ended = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(ended)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
