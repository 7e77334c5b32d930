"""What Python code finds at /dbfs on compute that does not mount it: every use is an error."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

MISSING_VARIABLE = "SANDBOX_WITHOUT_DBFS_MOUNT"
"""Set in the processes of compute without this mount."""

_MOUNT = "/dbfs"
# What Python reports of a path; os.stat is not among it, so nothing exists there.
_FUNCTIONS = "chdir chmod link listdir mkdir remove rename rmdir scandir symlink truncate utime"
_EVENTS = frozenset({"open", *(f"os.{function}" for function in _FUNCTIONS.split())})


def refuse_if_missing() -> None:
    """Let this process refuse the use of files below /dbfs as Databricks does, if they are not mounted."""
    if MISSING_VARIABLE in os.environ:
        sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        for path in arguments[:2]:
            if isinstance(path, str) and f"{path}/".startswith(f"{_MOUNT}/"):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
