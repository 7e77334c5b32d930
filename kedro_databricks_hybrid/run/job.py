"""Runs as jobs: submitted once or started from a deployed job, followed by the same log as any run.

A submitted job runs a notebook that the client writes to the user's folder. The notebook contains the driver
program and takes the request as a parameter. Its name is derived from its content, so clients of different
versions do not overwrite each other's notebook, and an existing one is not written again. Deployed jobs run
the project's notebook instead; `job_task.py` explains why.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.retry import is_transient
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import (
    ComputeError,
    ConnectionFailedError,
    HybridError,
    NotFoundError,
    WorkspaceError,
)
from kedro_databricks_hybrid.run import follow, quota
from kedro_databricks_hybrid.run.compute import ENVIRONMENT_KEY, serverless_environment
from kedro_databricks_hybrid.run.follow import Ending, Started
from kedro_databricks_hybrid.run.request import REQUEST, driver_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.settings import Compute
    from kedro_databricks_hybrid.run.compute import Choice
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

TASK = "kedro"
"""The key of a job's only task."""

API = "/api/2.2/jobs"
_FINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
_NOTEBOOK_FOLDER = ".kedro-hybrid"
_CELL_SEPARATOR = "\n# COMMAND ----------\n\n"
_NOTEBOOK_INTRODUCTION = """\
# Databricks notebook source
# MAGIC %md
# MAGIC Written by `kedro databricks run --job`, which runs it as a job.
# MAGIC You can delete it when no run needs it.
"""
_RUN_CELL = """\
import json
import pathlib

{driver}
_request = json.loads(dbutils.widgets.get("{parameter}"))
_driver.main(_request)
_end = json.loads(pathlib.Path(_request["log_folder"], "end.json").read_text("utf-8"))
if _end["outcome"] != "completed":
    raise RuntimeError(_end.get("error") or _end["outcome"])
"""


@dataclass(frozen=True)
class Notebook:
    """The notebook that a job runs.

    Args:
        path: A workspace path or, with a Git source, a path in the repository; without its extension.
        git_source: Where Databricks checks it out from, in the form of the jobs API.
        wheel: The wheel of this package to install before it starts, so that its %pip need not find it.
        has_environment: Whether it has an environment on serverless compute; some workspaces refuse that.
    """

    path: PurePosixPath
    git_source: dict[str, str] | None = None
    wheel: PurePosixPath | None = None
    has_environment: bool = True

    def without_environment(self) -> Notebook:
        """Return this notebook for a workspace that refuses environments.

        Raises:
            ComputeError: It has a wheel, which then cannot be installed.
        """
        if self.wheel:
            raise ComputeError(
                "This workspace takes no environment for notebook tasks, so this build of "
                "kedro-databricks-hybrid, which is in no package index, cannot be installed.",
                hint="Use a released version of kedro-databricks-hybrid, or a cluster.",
            )
        return replace(self, has_environment=False)

    def as_task(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the notebook task that runs it, in the form of the jobs API."""
        return {
            "notebook_path": str(self.path),
            "source": "GIT" if self.git_source else "WORKSPACE",
            "base_parameters": dict(parameters),
        }


def settings(
    notebook: Notebook,
    parameters: Mapping[str, str],
    choice: Choice,
    compute: Compute,
    dependencies: list[str],
) -> dict[str, Any]:
    """Return the settings that jobs and one-time runs share, in the form of the jobs API. Pure.

    Args:
        notebook: The notebook to run.
        parameters: Its parameters.
        choice: The compute to run on.
        compute: The `compute` section of databricks.yml.
        dependencies: What a serverless environment installs, as lines for pip.
    """
    task: dict[str, Any] = {"task_key": TASK, "notebook_task": notebook.as_task(parameters)}
    found: dict[str, Any] = {"tasks": [task]}
    if choice.compute == "serverless" and notebook.has_environment:
        task["environment_key"] = ENVIRONMENT_KEY
        lines = [*([str(notebook.wheel)] if notebook.wheel else []), *dependencies]
        found["environments"] = [serverless_environment(compute.environment_version, lines)]
    elif choice.compute == "job cluster":
        task["new_cluster"] = compute.job_cluster
    elif choice.cluster:
        task["existing_cluster_id"] = choice.cluster.cluster_id
    if notebook.wheel and choice.compute != "serverless":
        task["libraries"] = [{"whl": str(notebook.wheel)}]
    if notebook.git_source:
        found["git_source"] = notebook.git_source
    return found


@dataclass
class JobWork:
    """A run of a job.

    Args:
        workspace: The workspace of the job.
        run_id: The job run's id at Databricks.
        say: Called with one line when the run's state changes.
    """

    workspace: Workspace
    run_id: int
    say: Callable[[str], None] = field(default=lambda _: None)
    _shown_state: str = ""

    def ending(self) -> Ending | None:
        """Return how the job run ended, with Databricks' message; None while it is running."""
        try:
            run = self.describe()
        except WorkspaceError as error:
            if is_transient(error):
                raise
            return Ending("failed", error.message)
        state = run["state"]
        queued = run.get("status", {}).get("queue_details", {})
        message = (state.get("state_message") or queued.get("message") or "").strip()
        if state["life_cycle_state"] not in _FINAL:
            self._show(f"{state['life_cycle_state']}: {message}".lower().rstrip(": "))
            return None
        if state.get("result_state") == "CANCELED":
            return Ending("cancelled", "The run was cancelled.")
        return self._failed(run, message)

    def cancel(self) -> None:
        """Request that the job run be cancelled."""
        with translated(f"cancel the job run {self.run_id}"):
            self._post("runs/cancel", {"run_id": self.run_id})

    def abandon(self) -> None:
        """Do nothing: Databricks ends a cancelled job run itself."""

    def describe(self) -> dict[str, Any]:
        """Return Databricks' description of the job run."""
        with translated(f"get the job run {self.run_id}"):
            return self._get("runs/get", self.run_id)

    def page(self) -> str:
        """Return the URL of the run's page."""
        return _page_url(self.workspace, self.describe())

    def _failed(self, run: dict[str, Any], message: str) -> Ending:
        details = run.get("status", {}).get("termination_details", {})
        code = details.get("code") or run.get("state", {}).get("result_state") or "no result"
        error, trace = self._output(run)
        reason = error or message
        if code == "SUCCESS":
            code, reason = "no end", "the job's task succeeded, but the log has no end record"
        page = _page_url(self.workspace, run)
        hint = "Fix the cause, then run again."
        if known := follow.known_cause(reason):
            reason, hint = f"{reason.strip().rstrip('.')}: {known[0]}", known[1]
        elif quota.is_likely(f"{code} {message}"):
            hint = quota.HINT
        error = f"{code}: {' '.join(reason.split()).rstrip('.')}. See {page}."
        return Ending("failed", error, trace, hint)

    def _output(self, run: dict[str, Any]) -> tuple[str, str]:
        """Return the task's error and traceback; both empty if it has none."""
        for task in run.get("tasks", []):
            try:
                with translated("read the output of the job's task"):
                    output = self._get("runs/get-output", task["run_id"])
            except HybridError:
                continue
            if error := output.get("error"):
                return error, output.get("error_trace", "")
        return "", ""

    def _show(self, state: str) -> None:
        if state != self._shown_state:
            self._shown_state = state
            self.say(f"The job run is {state}")

    def _get(self, name: str, run_id: int) -> dict[str, Any]:
        answer: Any = self.workspace.client.api_client.do("GET", f"{API}/{name}", query={"run_id": run_id})
        return dict(answer)

    def _post(self, name: str, body: dict[str, Any]) -> None:
        self.workspace.client.api_client.do("POST", f"{API}/{name}", body=body)


@dataclass(frozen=True)
class Submission:
    """A one-time run to submit.

    Args:
        notebook: The notebook to run.
        choice: The compute to run on.
        compute: The `compute` section of databricks.yml.
        dependencies: What a serverless environment installs, as lines for pip.
        seconds: Timeout after which Databricks ends the run; None for no timeout.
    """

    notebook: Notebook
    choice: Choice
    compute: Compute
    dependencies: list[str] = field(default_factory=list)
    seconds: float | None = None

    def body(self, request: RunRequest, name: str) -> dict[str, Any]:
        """Return the request body; its idempotency token prevents a second run if it is repeated.

        With a queue, a run that would exceed the workspace's limit of concurrent tasks waits.
        """
        parameters = {REQUEST: request.as_parameter()}
        limit = {"timeout_seconds": int(self.seconds) + 1} if self.seconds else {}
        return {
            "run_name": name,
            "idempotency_token": request.run_id,
            "queue": {"enabled": True},
            **settings(self.notebook, parameters, self.choice, self.compute, self.dependencies),
            **limit,
        }


def submit(
    workspace: Workspace,
    request: RunRequest,
    tree: RemoteTree,
    submission: Submission,
    say: Callable[[str], None],
) -> Started:
    """Start a one-time run."""
    body = submission.body(request, f"kedro run {request.run_id} of {request.package_name}")

    def start() -> JobWork:
        try:
            with translated(f"submit a run {submission.choice.phrase}"):
                answer: Any = workspace.client.api_client.do("POST", f"{API}/runs/submit", body=body)
        except (WorkspaceError, ConnectionFailedError) as error:
            if quota.is_likely(error.message):
                raise type(error)(error.message, hint=quota.HINT) from error
            raise
        return JobWork(workspace, answer["run_id"], say)

    return begin(start, request.run_id, request.full_info, tree)


def begin(
    start: Callable[[], JobWork], run_id: str, info: Mapping[str, str | None], tree: RemoteTree
) -> Started:
    """Start a job run and write its run.json; cancel the job run if that fails or is interrupted.

    Args:
        start: Starts the job run. Idempotent: a second call returns the run that the first one started.
        run_id: The run's id, which names its log folder.
        info: The content for run.json.
        tree: The data root.
    """
    work = None
    try:
        work = start()
        return _started(work, run_id, info, tree)
    except BaseException as error:
        with contextlib.suppress(HybridError):
            if work is None and isinstance(error, KeyboardInterrupt):
                work = start()  # the first request may have arrived: get its run
            if work is not None:
                work.cancel()
        raise


def _started(work: JobWork, run_id: str, info: Mapping[str, str | None], tree: RemoteTree) -> Started:
    """Write a job run's run.json, and return the run in a form that can be followed."""
    started = Started(work, tree, run_id)
    page = work.page()
    started.write_info({**info, "job_run_id": str(work.run_id), "page": page})
    work.say(f"See {page}")
    return started


def _page_url(workspace: Workspace, run: dict[str, Any]) -> str:
    page = str(run.get("run_page_url") or f"/#job/{run.get('job_id')}/run/{run.get('run_id')}")
    return f"{workspace.host}{page}" if page.startswith("/") else page


def notebook_text(installation: Sequence[str] = ()) -> str:
    """Return the text of the notebook.

    Args:
        installation: Cells that install the requirements; none if the compute has them already.
    """
    install = [f"# MAGIC {cell}\n" if cell.startswith("%") else f"{cell.strip()}\n" for cell in installation]
    run = _RUN_CELL.format(driver=driver_text(), parameter=REQUEST)
    return _CELL_SEPARATOR.join([_NOTEBOOK_INTRODUCTION, *install, run])


def write_notebook(workspace: Workspace, project: str, installation: Sequence[str]) -> PurePosixPath:
    """Write the notebook to the user's folder unless it exists, and return its path.

    Args:
        workspace: The workspace.
        project: The project's name, part of the notebook's name.
        installation: Cells that install the requirements.
    """
    content = notebook_text(installation).encode()
    folder = PurePosixPath("/Users") / workspace.user / _NOTEBOOK_FOLDER
    path = folder / f"{project}-{hashlib.sha256(content).hexdigest()[:12]}"
    try:
        with translated(f"look for the notebook {path}"):
            workspace.client.workspace.get_status(str(path))
    except NotFoundError:
        _import_notebook(workspace, path, content)
    return path


def _import_notebook(workspace: Workspace, path: PurePosixPath, content: bytes) -> None:
    from databricks.sdk.service.workspace import ImportFormat, Language

    with translated(f"write the notebook {path}"):
        workspace.client.workspace.mkdirs(str(path.parent))
        workspace.client.workspace.import_(
            str(path),
            content=base64.b64encode(content).decode(),
            format=ImportFormat.SOURCE,
            language=Language.PYTHON,
            overwrite=True,
        )
