"""One task of a run: its program, and the Python process that runs it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.clusters.libraries import as_local
from kedro_databricks_hybrid.sandbox.core import notebook_files
from kedro_databricks_hybrid.sandbox.core.errors import ApiError
from kedro_databricks_hybrid.sandbox.jobs.runs import (
    FAILED,
    MAX_OUTPUT,
    SUCCEEDED,
    Log,
    State,
    TaskFailedError,
    TaskOutput,
)
from kedro_databricks_hybrid.sandbox.kernel.inside import task_values
from kedro_databricks_hybrid.sandbox.kernel.process import Kernel, KernelDiedError
from kedro_databricks_hybrid.sandbox.kernel.results import plain, restarts_python
from kedro_databricks_hybrid.sandbox.kernel.runtime import MODULES

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.jobs.settings import Task
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
    from kedro_databricks_hybrid.sandbox.kernel.process import Message, Reply
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_MODULE = f"{MODULES}.kernel.inside.tasks"
_NOTEBOOK_MISSING = (
    'Unable to access the notebook "{}". Either it does not exist, or the identity used to run this job, '
    "{}, lacks the required permissions."
)
_LANGUAGE = "The notebook {} is in {}; the sandbox runs notebooks in Python and SQL."
_IN_WORKSPACE = ("/Users/", "/Repos/", "/Shared/")


@dataclass(frozen=True)
class Checkout:
    """The files of a run's git_source.

    Attributes:
        files: Their folder on this machine.
        folder: The folder in which tasks find them.
    """

    files: Path
    folder: str


@dataclass(frozen=True)
class Program:
    """The code of a task.

    Attributes:
        opening: Code to run first, and again after each restart of Python.
        cells: The cells, run one by one.
        is_notebook: Whether the task's output is a notebook's result rather than a log.
    """

    opening: str
    cells: tuple[str, ...]
    is_notebook: bool


class TaskProcess:
    """Runs one program; cancelling `run` kills the process and its children.

    Args:
        environment: Its files, which exist.
        variables: Its environment variables.
        program: The program.
        known: The values that each task of the run has set.

    Attributes:
        output: The output so far.
    """

    def __init__(
        self,
        environment: NotebookEnvironment,
        variables: dict[str, str],
        program: Program,
        known: dict[str, dict[str, Any]],
    ) -> None:
        self.output = TaskOutput()
        self._environment = environment
        self._variables = variables
        self._program = program
        self._log = Log()
        folder = environment.folder / "databricks"
        self._values = folder / task_values.SET
        (folder / task_values.KNOWN).write_text(json.dumps(known), encoding="utf-8")

    def values(self) -> dict[str, Any]:
        """Return the task values that it has set."""
        try:
            with self._values.open("rb") as file:
                found = json.loads(file.read(task_values.MAX_TOTAL_BYTES))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    async def run(self) -> State:
        """Run the program and return how it ended."""
        kernel = await Kernel.start(self._environment, self._variables)
        try:
            waiting = [self._program.opening, *self._program.cells]
            while waiting:
                reply = await kernel.execute(waiting.pop(0), self._write)
                if reply.error == "NotebookExit":
                    self._exit_with(reply.value)
                    return SUCCEEDED
                if restarts_python(reply):
                    await kernel.end()
                    kernel = await Kernel.start(self._environment, self._variables)
                    waiting.insert(0, self._program.opening)
                elif reply.error is not None:
                    self._fail(reply)
                    return FAILED
        except KernelDiedError as error:
            self.output.error = str(error)
            return replace(FAILED, message=str(error))
        finally:
            self._finish()
            await kernel.end()
        return SUCCEEDED

    def _write(self, message: Message) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            self._log.add(content["text"])
        elif message["msg_type"] in {"execute_result", "display_data"}:
            self._log.add(content["data"].get("text/plain", "") + "\n")

    def _exit_with(self, value: str) -> None:
        content = value.encode(errors="replace")
        self.output.result = content[:MAX_OUTPUT].decode(errors="ignore")
        self.output.result_truncated = len(content) > MAX_OUTPUT

    def _fail(self, reply: Reply) -> None:
        redact = self._environment.access.redact
        self.output.error = redact(f"{reply.error}: {plain(reply.value)}")
        self.output.error_trace = redact(plain("\n".join(reply.traceback)))

    def _finish(self) -> None:
        redact = self._environment.access.redact
        if self._program.is_notebook:
            self.output.result = redact(self.output.result)
        else:
            self.output.logs = redact(self._log.text())
            self.output.logs_truncated = self._log.cut


def program_of(sandbox: Sandbox, user: User, task: Task, checkout: Checkout | None) -> Program:
    """Return the program of a task.

    Args:
        sandbox: The workspace.
        user: The user who runs it.
        task: The task.
        checkout: The files of the run's git_source, None without one.

    Raises:
        TaskFailedError: The notebook is missing, or is not a Python notebook.
    """
    settings = task.settings
    from_git = checkout is not None and settings.get("source", "GIT") == "GIT"
    if task.kind == "notebook_task":
        if from_git and checkout is not None:
            return _git_notebook(user, settings, checkout)
        return _workspace_notebook(sandbox, user, settings)
    if task.kind == "spark_python_task":
        path = as_local(str(settings["python_file"]))
        if not path.startswith("/") and from_git and checkout is not None:
            path = f"{checkout.folder}/{path}"
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
        entry = sandbox.tree.find(user, path)
    except ApiError as error:
        raise _no_notebook(path, user) from error
    if entry.kind != "NOTEBOOK":
        raise _no_notebook(path, user)
    names = entry.names
    # As Databricks: in /Repos its root is on Python's path too, elsewhere only the notebook's folder.
    repo = sandbox.repos.around(names) if names[0] == "Repos" else None
    root = f"/Workspace{repo.path}" if repo else ""
    return _notebook(entry.disk_path, "/".join(("/Workspace", *names[:-1])), root, settings)


def _git_notebook(user: User, settings: dict[str, Any], checkout: Checkout) -> Program:
    path = str(settings["notebook_path"])
    try:
        root = checkout.files.resolve()
        found = notebook_files.find(root, path.rstrip("/"))
        file = found.resolve() if found else None
    except (OSError, ValueError, RuntimeError):  # an invalid file name, or links in a circle
        file = None
    if file is None or not file.is_relative_to(root):
        raise _no_notebook(path, user)
    folder = f"{checkout.folder}/{file.parent.relative_to(root)}".removesuffix("/.")
    return _notebook(file, folder, checkout.folder, settings)


def _notebook(file: Path, folder: str, root: str, settings: dict[str, Any]) -> Program:
    path = f"{folder}/{file.stem}".removeprefix("/Workspace")
    language = notebook_files.language_of(file)
    if language not in notebook_files.RUNNABLE:
        raise TaskFailedError("RUN_EXECUTION_ERROR", _LANGUAGE.format(path, str(language).title()))
    code = tuple(notebook_files.code_of(file))
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
