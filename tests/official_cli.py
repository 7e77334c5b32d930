"""The Databricks CLI on PATH, if there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

_VERSION = re.compile(r"Databricks CLI v([1-9]\d*)\.")


@cache
def refusal() -> str:
    """Return why the tests of the Databricks CLI cannot run here, empty if they can."""
    program = shutil.which("databricks")
    if program is None:
        return "No test ran the Databricks CLI: there is no `databricks` on PATH."
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if _VERSION.match(said):
        return ""
    return f"No test ran the Databricks CLI: {program} is no version 1 or newer, but {said[:50]!r}."
