"""Runs as jobs: submitted once or started from a deployed job, followed by the same log as any run.

A submitted job runs a notebook that the client writes to a folder of its own. The notebook holds the driver
program of that client and takes the request as a parameter. Its name is derived from its content: clients of
different versions do not change each other's, and one that exists need not be written again. Deployed jobs
run the project's own notebook instead: `job_task.py` says why.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.retry import is_passing
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ComputeError, HybridError, NotFoundError, WorkspaceError
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
"""What a job's one task is called."""

API = "/api/2.2/jobs"
_FINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
_NOTEBOOK_FOLDER = ".kedro-hybrid"
_CELL_SEPARATOR = "\n# COMMAND ----------\n\n"
_NOTEBOOK_INTRODUCTION = """\
# Databricks notebook source
# MAGIC %md
# MAGIC Written by `kedro databricks run --job`, which runs it as a job.
# MAGIC It may be deleted when no run needs it.
"""
_RUN_CELL = """\
import json
import pathlib

{driver}
_request = json.loads(dbutils.widgets.get("{parameter}"))
_driver["main"](_request)
_end = json.loads(pathlib.Path(_request["log_folder"], "end.json").read_text("utf-8"))
if _end["outcome"] != "completed":
    raise RuntimeError(_end.get("error") or _end["outcome"])
"""


@dataclass(frozen=True)
class Notebook:
    """The notebook that a job runs.

    Args:
        path: A workspace path, or, with a git source, a path in the repository; without its ending.
        git_source: Where Databricks checks it out from, as the jobs API takes it.
        wheel: What is installed before it starts, so that its own %pip need not look for it.
        has_environment: Whether it gets an environment on serverless compute, which some workspaces refuse.
    """

    path: PurePosixPath
    git_source: dict[str, str] | None = None
    wheel: PurePosixPath | None = None
    has_environment: bool = True

    def without_environment(self) -> Notebook:
        """Return the same for a workspace that refuses environments.

        Raises:
            ComputeError: Its wheel could not be installed then.
        """
        if self.wheel:
            raise ComputeError(
                "This workspace takes no environment for notebook tasks, so a build of this package that is "
                "in no index cannot be installed for the project's own notebook.",
                hint="Use a released version of kedro-databricks-hybrid, or a cluster.",
            )
        return replace(self, has_environment=False)

    def as_task(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the task that runs it."""
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
    """Return what jobs and one-time runs have in common, as the jobs API takes it. Pure.

    Args:
        notebook: What is run.
        parameters: Its parameters.
        choice: What it runs on.
        compute: What the settings say of that.
        dependencies: What a serverless environment installs.
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
        workspace: Where.
        run_id: The job's run, as Databricks numbers it.
        say: Called with one line when Databricks says something new about it.
    """

    workspace: Workspace
    run_id: int
    say: Callable[[str], None] = field(default=lambda _: None)
    _told: str = ""

    def ending(self) -> Ending | None:
        """Return how the job's run ended, in Databricks' own words."""
        try:
            run = self.describe()
        except WorkspaceError as error:
            if is_passing(error):
                raise
            return Ending("failed", error.message)
        state = run.get("state", {})
        message = str(state.get("state_message") or "").strip()
        if state.get("life_cycle_state") not in _FINAL:
            self._tell(f"{state.get('life_cycle_state', 'pending')}: {message}".lower().rstrip(": "))
            return None
        if state.get("result_state") == "CANCELED":
            return Ending("cancelled", "The run was cancelled.")
        return self._failed(run, message)

    def cancel(self) -> None:
        """Ask for the job's run to be cancelled."""
        with translated(f"cancel the job's run {self.run_id}"):
            self._post("runs/cancel", {"run_id": self.run_id})

    def abandon(self) -> None:
        """Do nothing more: Databricks ends a run that it was asked to cancel."""

    def describe(self) -> dict[str, Any]:
        """Return what Databricks says of the run."""
        with translated(f"ask about the job's run {self.run_id}"):
            return self._get("runs/get", self.run_id)

    def page(self) -> str:
        """Return the address of the run's page."""
        return _address(self.workspace, self.describe())

    def _failed(self, run: dict[str, Any], message: str) -> Ending:
        details = run.get("status", {}).get("termination_details", {})
        code = details.get("code") or run.get("state", {}).get("result_state") or "no result"
        error, trace = self._output(run)
        words = error or message
        if code == "SUCCESS":
            code, words = "no end", "the job's task ended, and the log of the pipeline did not"
        page = _address(self.workspace, run)
        hint = "Mend what it names, then run again."
        if follow.is_out_of_memory(words):
            words, hint = f"{words.strip().rstrip('.')}: {follow.OUT_OF_MEMORY}", follow.OUT_OF_MEMORY_HINT
        elif quota.is_likely(f"{code} {message}"):
            hint = quota.HINT
        said = f"{code}: {' '.join(words.split()).rstrip('.')}. See {page}."
        return Ending("failed", said, trace, hint)

    def _output(self, run: dict[str, Any]) -> tuple[str, str]:
        """Return the error of the task, and its traceback, where it came so far as to have one."""
        for task in run.get("tasks", []):
            try:
                with translated("read the output of the job's task"):
                    output = self._get("runs/get-output", task["run_id"])
            except HybridError:
                continue
            if error := output.get("error"):
                return str(error), str(output.get("error_trace") or "")
        return "", ""

    def _tell(self, news: str) -> None:
        if news != self._told:
            self._told = news
            self.say(f"The job's run is {news}")

    def _get(self, name: str, run_id: int) -> dict[str, Any]:
        answer = self.workspace.client.api_client.do("GET", f"{API}/{name}", query={"run_id": run_id})
        return answer if isinstance(answer, dict) else {}

    def _post(self, name: str, body: dict[str, Any]) -> None:
        self.workspace.client.api_client.do("POST", f"{API}/{name}", body=body)


@dataclass(frozen=True)
class Submission:
    """A run that is to be submitted.

    Args:
        notebook: What performs it.
        choice: What it runs on.
        compute: What the settings say of that.
        dependencies: What a serverless environment installs.
        seconds: When Databricks shall end it, None for never.
    """

    notebook: Notebook
    choice: Choice
    compute: Compute
    dependencies: list[str] = field(default_factory=list)
    seconds: float | None = None

    def body(self, request: RunRequest, name: str) -> dict[str, Any]:
        """Return the request to the jobs API; its token makes a repeated one start nothing anew."""
        parameters = {REQUEST: request.as_parameter()}
        limit = {"timeout_seconds": int(self.seconds) + 1} if self.seconds else {}
        return {
            "run_name": name,
            "idempotency_token": request.run_id,
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
            with translated(f"submit a run {submission.choice.place}"):
                answer = workspace.client.api_client.do("POST", f"{API}/runs/submit", body=body)
        except WorkspaceError as error:
            if quota.is_likely(error.message):
                raise WorkspaceError(error.message, hint=quota.HINT) from error
            raise
        if not isinstance(answer, dict) or "run_id" not in answer:
            raise WorkspaceError("Databricks accepted the run, but did not tell its number.")
        return JobWork(workspace, int(answer["run_id"]), say)

    return begin(start, request.run_id, request.all_facts, tree)


def begin(
    start: Callable[[], JobWork], run_id: str, facts: Mapping[str, str | None], tree: RemoteTree
) -> Started:
    """Start a run of a job that can be followed; where that fails or is interrupted, none stays.

    Args:
        start: Starts it. Called again, it starts nothing anew, and tells which run there is.
        run_id: Our name for the run.
        facts: What to note beside its log.
        tree: The data root.
    """
    work = None
    try:
        work = start()
        return _noted(work, run_id, facts, tree)
    except BaseException as error:
        with contextlib.suppress(HybridError):
            if work is None and isinstance(error, KeyboardInterrupt):
                work = start()  # whether the first request arrived, nobody knows
            if work is not None:
                work.cancel()
        raise


def _noted(work: JobWork, run_id: str, facts: Mapping[str, str | None], tree: RemoteTree) -> Started:
    """Return a job's run as one that can be followed, after noting beside its log which one it is."""
    started = Started(work, tree, run_id)
    page = work.page()
    started.note({**facts, "job_run_id": str(work.run_id), "page": page})
    work.say(f"See {page}")
    return started


def _address(workspace: Workspace, run: dict[str, Any]) -> str:
    page = str(run.get("run_page_url") or f"/#job/{run.get('job_id')}/run/{run.get('run_id')}")
    return f"{workspace.host}{page}" if page.startswith("/") else page


def notebook_text(installation: Sequence[str] = ()) -> str:
    """Return the notebook.

    Args:
        installation: The cells that install the requirements; none where the compute has them already.
    """
    install = [f"# MAGIC {cell}\n" if cell.startswith("%") else f"{cell.strip()}\n" for cell in installation]
    run = _RUN_CELL.format(driver=driver_text(), parameter=REQUEST)
    return _CELL_SEPARATOR.join([_NOTEBOOK_INTRODUCTION, *install, run])


def write_notebook(workspace: Workspace, project: str, installation: Sequence[str]) -> PurePosixPath:
    """Have the notebook in the user's folder, and return its path there.

    Args:
        workspace: Where.
        project: The project's name, to tell it by.
        installation: The cells that install the requirements.
    """
    content = notebook_text(installation).encode()
    folder = PurePosixPath("/Users") / workspace.user / _NOTEBOOK_FOLDER
    path = folder / f"{project}-{hashlib.sha256(content).hexdigest()[:12]}"
    try:
        with translated(f"look for the notebook {path}"):
            workspace.client.workspace.get_status(str(path))
    except NotFoundError:
        _write_if_missing(workspace, path, content)
    return path


def _write_if_missing(workspace: Workspace, path: PurePosixPath, content: bytes) -> None:
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
