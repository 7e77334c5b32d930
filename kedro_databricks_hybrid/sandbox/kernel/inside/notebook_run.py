"""Run a notebook from a notebook: `dbutils.notebook.run` in another process, `%run` in this one."""

from __future__ import annotations

import posixpath
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core import notebook_files
from .notebook_context import RefusedError, call_api, get_context

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

GIT_SOURCES = "/Workspace/Repos/.internal/"
"""Where the runs from Git find the files of their commits."""

_JOBS = "/api/2.2/jobs/runs"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_RUN = re.compile(r"(?P<path>\"[^\"]*\"|'[^']*'|[^$]*?)\s*(?P<arguments>\$.*)?", re.DOTALL)
_FAILED = "com.databricks.WorkflowException: com.databricks.NotebookExecutionException: {}: {}"

_folders: list[str] = []  # of the notebook, and of those that it is including


class WorkflowException(Exception):  # noqa: N818 - Databricks' name
    """A notebook run by another one failed or timed out."""


def set_folder(folder: str) -> None:
    """Set the folder that relative paths of this notebook start from."""
    _folders[:] = [folder]


def run(path: str, timeout_seconds: int, arguments: dict[str, str]) -> str:
    """Run a notebook as a one-time run, and return the value that it exits with.

    Raises:
        WorkflowException: It failed, timed out or does not exist.
    """
    given = {str(name): str(value) for name, value in arguments.items()}
    task: dict[str, Any] = {
        "task_key": "notebook",
        "notebook_task": {"notebook_path": absolute(path), "base_parameters": given},
        "timeout_seconds": timeout_seconds,
    }
    cluster_id = get_context().clusterId
    if cluster_id:
        task["existing_cluster_id"] = cluster_id
    try:
        run_id = call_api("POST", f"{_JOBS}/submit", {"run_name": path, "tasks": [task]})["run_id"]
    except RefusedError as error:
        raise WorkflowException(_FAILED.format("FAILED", error)) from None
    try:
        ended = _ended(run_id)
    except BaseException:
        call_api("POST", f"{_JOBS}/cancel", {"run_id": run_id})
        raise
    output = call_api("GET", f"{_JOBS}/get-output", {"run_id": ended["tasks"][0]["run_id"]})
    state = ended["state"]
    if state["result_state"] != "SUCCESS":
        reason = output.get("error") or state["state_message"]
        raise WorkflowException(_FAILED.format(state["result_state"], reason))
    return str(output.get("notebook_output", {}).get("result", ""))


def absolute(path: str) -> str:
    """Return the workspace path of a notebook; a relative one starts from the calling notebook's folder."""
    if path.startswith("/"):
        return path
    if not _folders or not _folders[-1].startswith("/Workspace/") or _folders[-1].startswith(GIT_SOURCES):
        raise WorkflowException(
            _FAILED.format(
                "FAILED", f"The path {path} is relative, but its caller is not a workspace notebook."
            )
        )
    return posixpath.normpath(posixpath.join(_folders[-1], path))


def include(shell: InteractiveShell, line: str) -> None:
    """Run the cells of another notebook here, as `%run path $name="value"` does.

    Raises:
        FileNotFoundError: The notebook does not exist.
        NotImplementedError: It is in Scala or R.
    """
    match = _RUN.fullmatch(line.strip())
    path = match["path"].strip("\"' ") if match else ""
    if match is None or not path:
        raise ValueError("%run needs the path of a notebook.")
    for argument in shlex.split(match["arguments"] or ""):
        name, _, value = argument.removeprefix("$").partition("=")
        widgets = shell.user_ns["dbutils"].widgets
        widgets.remove(name)
        widgets.text(name, value)
    file = _file(path)
    run_cell: Any = shell.run_cell  # IPython gives it no types
    _folders.append(str(file.parent))
    try:
        for cell in notebook_files.code_of(file):
            run_cell(cell, store_history=False).raise_error()
    finally:
        _folders.pop()


def _file(path: str) -> Path:
    """Return the file of a notebook from its path, which has no extension."""
    folder = _folders[-1] if _folders else str(Path.cwd())
    named = posixpath.normpath(posixpath.join(folder, path))
    if not named.startswith(("/Workspace/", "/databricks/")):
        named = f"/Workspace{named}"
    file = notebook_files.find(Path("/"), named)
    if file is None:
        raise FileNotFoundError(f"Notebook not found: {path}")
    language = notebook_files.language_of(file)
    if language not in notebook_files.RUNNABLE:
        raise NotImplementedError(f"The sandbox does not run notebooks in {str(language).title()}: {path}")
    return file


def _ended(run_id: int) -> dict[str, Any]:
    pause = _SHORTEST_PAUSE
    while True:
        run = call_api("GET", f"{_JOBS}/get", {"run_id": run_id})
        if run["status"]["state"] == "TERMINATED":
            return run
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
