"""Objects of the workspace tree, for tests."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from databricks.sdk.service.workspace import ImportFormat

if TYPE_CHECKING:
    from databricks.sdk.service.workspace import WorkspaceAPI

HOME = "/Users/user@example.com"
SOURCE = "# Databricks notebook source\nprint(1)\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC # Title\n"


def encoded(text: str | bytes) -> str:
    """Return content in base64, as the import requires it."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def put(api: WorkspaceAPI, path: str, text: str | bytes = "x", *, overwrite: bool = False) -> None:
    """Import with format AUTO."""
    api.import_(path, content=encoded(text), format=ImportFormat.AUTO, overwrite=overwrite)
