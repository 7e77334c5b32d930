"""From a task's settings to the program that its Python process runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox import notebooks
from kedro_databricks_hybrid.sandbox.answers import ApiError
from kedro_databricks_hybrid.sandbox.job_outcome import TaskFailedError
from kedro_databricks_hybrid.sandbox.pip_process import as_local
from kedro_databricks_hybrid.sandbox.task_process import Program
from kedro_databricks_hybrid.sandbox.tree import names_of

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.job_settings import Task
    from kedro_databricks_hybrid.sandbox.sandbox import Sandbox
    from kedro_databricks_hybrid.sandbox.users import User

CHECKOUT = "/databricks/git_source"
"""Where a task finds the files of its run's git_source."""

_MODULE = "kedro_databricks_hybrid.sandbox.task_programs"
_NOTEBOOK_MISSING = (
    'Unable to access the notebook "{}". Either it does not exist, or the identity used to run this job, '
    "{}, lacks the required permissions."
)
_IN_WORKSPACE = ("/Users/", "/Repos/", "/Shared/")


def program_of(sandbox: Sandbox, user: User, task: Task, checkout: Path | None) -> Program:
    """Return what a task runs.

    Args:
        sandbox: The workspace.
        user: Who runs it.
        task: The task.
        checkout: Where the files of the run's git_source are, out here.

    Raises:
        TaskFailedError: There is no such notebook.
    """
    settings = task.settings
    from_git = checkout is not None and settings.get("source", "GIT") == "GIT"
    if task.kind == "notebook_task":
        if from_git and checkout is not None:
            return _git_notebook(user, settings, checkout)
        return _workspace_notebook(sandbox, user, settings)
    if task.kind == "spark_python_task":
        path = as_local(str(settings["python_file"]))
        if not path.startswith("/") and from_git:
            path = f"{CHECKOUT}/{path}"
        elif path.startswith(_IN_WORKSPACE):
            path = f"/Workspace{path}"
        code = _call("run_script", path.removeprefix("file:"), _arguments(settings))
    else:
        code = _call(
            "run_entry_point", settings["package_name"], settings["entry_point"], _arguments(settings)
        )
    return Program("", (code,), is_notebook=False)


def _workspace_notebook(sandbox: Sandbox, user: User, settings: dict[str, Any]) -> Program:
    path = str(settings["notebook_path"])
    try:
        names = names_of(path)
        entry = sandbox.tree.find(user, names)
    except ApiError as error:
        raise _no_notebook(path, user) from error
    if entry.kind != "NOTEBOOK" or entry.language != "PYTHON":
        raise _no_notebook(path, user)
    repo = sandbox.repos.around(names)
    root = f"/Workspace{repo.path}" if repo else ""
    return _notebook(entry.place, "/".join(("/Workspace", *names[:-1])), root, settings)


def _git_notebook(user: User, settings: dict[str, Any], checkout: Path) -> Program:
    path = str(settings["notebook_path"])
    try:
        root = checkout.resolve()
        found = [(root / (path.rstrip("/") + extension)).resolve() for extension in (".py", ".ipynb")]
        inside = [one for one in found if one.is_relative_to(root) and one.is_file()]
        file = next((one for one in inside if notebooks.language_of(one) == "PYTHON"), None)
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, a link that leads round
        file = None
    if file is None:
        raise _no_notebook(path, user)
    folder = f"{CHECKOUT}/{file.parent.relative_to(root)}".removesuffix("/.")
    return _notebook(file, folder, CHECKOUT, settings)


def _notebook(place: Path, folder: str, root: str, settings: dict[str, Any]) -> Program:
    try:
        code = tuple(notebooks.code_of(place))
    except ApiError as error:
        raise TaskFailedError("RUN_EXECUTION_ERROR", error.message) from error
    path = f"{folder}/{place.stem}".removeprefix("/Workspace")
    opening = _call("open_notebook", path, folder, root, settings.get("base_parameters") or {})
    return Program(opening, code, is_notebook=True)


def _no_notebook(path: str, user: User) -> TaskFailedError:
    return TaskFailedError("RESOURCE_NOT_FOUND", _NOTEBOOK_MISSING.format(path, user.name))


def _arguments(settings: dict[str, Any]) -> list[str]:
    named = settings.get("named_parameters") or {}
    return [*(settings.get("parameters") or []), *(f"--{name}={value}" for name, value in named.items())]


def _call(function: str, *arguments: object) -> str:
    shown = ", ".join(repr(argument) for argument in arguments)
    return f"__import__({_MODULE!r}, fromlist=['x']).{function}({shown})"
