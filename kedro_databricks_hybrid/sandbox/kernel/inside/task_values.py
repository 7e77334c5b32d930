"""`dbutils.jobs.taskValues`: what the tasks of one run tell each other.

The server writes the values that earlier tasks have set to one file. When this task has ended, it reads from
another one what this task has set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = "/databricks"
KNOWN = "known_task_values.json"
SET = "task_values.json"
MAX_BYTES = 48 * 1024
"""The size of one value as JSON."""

MAX_TOTAL_BYTES = 250 * (MAX_BYTES + 1024)


class TaskValues:
    """The values of this run; outside of a job nothing is set, and `debugValue` is returned."""

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Set a value, which later tasks can read.

        Raises:
            TypeError: It cannot be written as JSON.
            ValueError: Its JSON is larger than 48 KiB.
        """
        if len(json.dumps(value).encode()) > MAX_BYTES:
            raise ValueError(f"The value of {key} is larger than {MAX_BYTES // 1024} KiB as JSON.")
        if not _is_task():
            return
        file = Path(FOLDER, SET)
        known = json.loads(file.read_bytes()) if file.exists() else {}
        new = file.with_suffix(".new")
        new.write_text(json.dumps({**known, str(key): value}), encoding="utf-8")
        os.replace(new, file)  # noqa: PTH105 - the server never reads half a file

    def get(
        self,
        taskKey: str,  # noqa: N803 - Databricks' name
        key: str,
        default: Any = None,  # noqa: ANN401 - any JSON
        debugValue: Any = None,  # noqa: ANN401, N803
    ) -> Any:  # noqa: ANN401
        """Return the value that an earlier task has set, else the default.

        Raises:
            ValueError: There is neither.
            TypeError: This is no task of a job, and `debugValue` is missing.
        """
        if not _is_task():
            if debugValue is None:
                raise TypeError(
                    "Must pass debugValue when calling get outside of a job context. "
                    "debugValue cannot be None."
                )
            return debugValue
        values = json.loads(Path(FOLDER, KNOWN).read_bytes()).get(taskKey, {})
        if key not in values and default is None:
            raise ValueError(f"No task value found for task {taskKey} and key {key}.")
        return values.get(key, default)


class Jobs:
    """`dbutils.jobs`."""

    taskValues = TaskValues()  # noqa: N815 - Databricks' name


def _is_task() -> bool:
    return Path(FOLDER, KNOWN).exists()
