"""Importing the SDK without its services, which makes commands start faster."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

_SCRIPT = """\
import json, sys
from kedro_databricks_hybrid.databricks.client import defer_services

defer_services()
import databricks.sdk.core
from databricks.sdk import useragent
early = "databricks.sdk.service.catalog" in sys.modules
from databricks.sdk import WorkspaceClient
late = "databricks.sdk.service.catalog" in sys.modules
same = databricks.sdk.WorkspaceClient is WorkspaceClient and databricks.sdk.client is databricks.sdk.core
defer_services()
print(json.dumps([early, late, same, hasattr(databricks.sdk, "AccountClient"), hasattr(databricks.sdk, "x")]))
"""


def test_services_are_imported_when_somebody_wants_them() -> None:
    """The SDK's services are not imported with its submodules, but with WorkspaceClient."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, True, True, True, False]
