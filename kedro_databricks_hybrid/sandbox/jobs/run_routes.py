"""Runs over HTTP: submit, get, get-output, list, cancel, delete."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from kedro_databricks_hybrid.sandbox.core import notebook_files
from kedro_databricks_hybrid.sandbox.core.bodies import Array, ArrayOf, Flag, Integer, Object, without
from kedro_databricks_hybrid.sandbox.core.errors import ApiError, denied, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import NO_EXPORT, NO_TASK_ENVIRONMENT, ONE_TASK, QUEUED
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token, limited, paged_arrays
from kedro_databricks_hybrid.sandbox.core.permissions import JOB, MANAGE
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.jobs import runs
from kedro_databricks_hybrid.sandbox.jobs.model import DEFAULT_NAME, key_of, refusal_of
from kedro_databricks_hybrid.sandbox.jobs.notebook_page import page_of
from kedro_databricks_hybrid.sandbox.jobs.parameters import (
    checked_parameters,
    overridden,
    parameters_of_run,
    task_parameters,
)
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, Runs, TaskRun
from kedro_databricks_hybrid.sandbox.jobs.settings import KINDS, read_settings
from kedro_databricks_hybrid.sandbox.kernel.access import NOTEBOOK_HEADER

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.jobs.model import Jobs
    from kedro_databricks_hybrid.sandbox.jobs.settings import Settings
    from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_ARRAYS = ("tasks", "job_clusters", "job_parameters", "repair_history")
_MAX_TOKEN = 64
_OF_ONE_TASK = ("existing_cluster_id", "new_cluster", "libraries", "environment_key")
_MAX_PAGE = 25
_DEFAULT_PAGE = 20
_MANY_TASKS = (
    "Retrieving the output of runs with multiple tasks is not supported. "
    "Please retrieve the output of each individual task run instead."
)


class RunsApi:
    """The handlers of runs."""

    def __init__(self, jobs: Jobs, runs: Runs, work: JobWork, sandbox: Sandbox) -> None:
        self._jobs = jobs
        self._runs = runs
        self._work = work
        self._sandbox = sandbox
        self._clusters = sandbox.clusters
        self._principals = sandbox.principals

    def find(self, user: User, run_id: int, level: str = "CAN_VIEW") -> tuple[Run, TaskRun | None]:
        """Return a run, or the run of a task; refuse it to others who have no permission on its job."""
        run, only = self._runs.find(run_id)
        if not self._may(user, run, level):
            raise refusal_of(user.name, run.job_id, level)
        return run, only

    def _may(self, user: User, run: Run, level: str) -> bool:
        return run.creator == user.name or self._jobs.allows(user.name, run.job_id, level)

    def check(self, settings: Settings) -> None:
        """Refuse settings of a job or run that the workspace does not support."""
        if settings.makes_clusters:
            self._clusters.check_offered()
        for task in settings.all_tasks:
            if task.kind == "notebook_task" and task.environment_key and not self._sandbox.task_environments:
                raise invalid(NO_TASK_ENVIRONMENT.format(key=task.key))

    async def start(self, user: User, run: Run, limit: int = 0) -> None:
        """Begin a run, or refuse its settings.

        Args:
            user: The user who runs it.
            run: The run, without its tasks.
            limit: How many runs of its job may be active at once; 0 for any number.
        """
        settings = read_settings(run.given)
        self.check(settings)
        for task in settings.all_tasks:
            if task.existing_cluster_id is not None:
                refusal = self._clusters.get(task.existing_cluster_id).refusal_of(user.name)
                if refusal:
                    raise denied(refusal)
        run.tasks = [TaskRun(new_id(), one["task_key"], one) for one in run.given["tasks"]]
        if limit:
            run.state = runs.State("QUEUED", message=QUEUED)
        await self._runs.add(run)
        self._work.begin(run, settings, user, limit)

    def repeated(self, user: User, token: str) -> Run | None:
        """Return the run that an earlier request with the same idempotency token started, else None."""
        if len(token) > _MAX_TOKEN:
            raise invalid(f"idempotency_token is longer than {_MAX_TOKEN} characters.")
        return self._runs.with_token(user.name, token)

    async def submit(
        self,
        request: Request,
        user: User,
        given: dict[str, Any],
        job_parameters: Object,
        access_control_list: ArrayOf[dict[str, Any]],
        parameters: Array,
        run_name: str = "",
        idempotency_token: str = "",
    ) -> dict[str, Any]:
        """Start a run without a job."""
        run = self.repeated(user, idempotency_token)
        if run is None:
            by_notebook = hasattr(request.state, "notebook") and NOTEBOOK_HEADER in request.headers
            kind = "WORKFLOW_RUN" if by_notebook else "SUBMIT_RUN"
            name, settings = run_name or DEFAULT_NAME, overridden(_with_tasks(given), given)
            run = Run(new_id(), new_id(), name, user.name, kind, settings, [], idempotency_token, now())
            checked_parameters(parameters)
            run.parameters = parameters_of_run(settings, job_parameters)
            run.overriding = task_parameters(given)
            entries = self._principals.entries(JOB, access_control_list)
            await self.start(user, run)
            await self._jobs.add_permissions(run.job_id, user.name, entries)
            if by_notebook:
                request.state.notebook.runs.append(run.run_id)
        return {"run_id": run.run_id}

    async def get(
        self,
        request: Request,
        user: User,
        run_id: Integer,
        page_token: Token = 0,
        include_history: Flag = False,
        include_resolved_values: Flag = False,
    ) -> dict[str, Any]:
        """Show a run, or the run of one task."""
        run, only = self.find(user, run_id)
        shown = self._shown(run, only)
        if include_history:
            shown["repair_history"] = [*run.history, run.describe_attempt()]
        if include_resolved_values:
            resolved = {one.run_id: one.resolved for one in run.attempts}
            shown["tasks"] = [{**one, "resolved_values": resolved[one["run_id"]]} for one in shown["tasks"]]
        return paged_arrays(request, page_token, shown, shown, _ARRAYS)

    async def get_output(self, user: User, run_id: Integer) -> dict[str, Any]:
        """Show the output of a task."""
        run, only = self.find(user, run_id)
        if only is None and run.is_single_task:
            only = run.tasks[0]
        if only is None:
            raise invalid(_MANY_TASKS)
        output = only.output.describe() if only.state.is_final else {}
        if only.state.result == "FAILED" and not output.get("error"):
            output["error"] = only.state.message
        if only.child:
            output["run_job_output"] = {"run_id": only.child}
        return {"metadata": self._shown(run, only), **output}

    async def export(self, user: User, run_id: Integer, views_to_export: str = "CODE") -> dict[str, Any]:
        """Show the run of a notebook as a page, with the cells that the notebook has now."""
        run, only = self.find(user, run_id)
        if only is None and len(run.tasks) == 1:
            only = run.tasks[0]
        if only is None or "notebook_task" not in only.given:
            raise invalid(NO_EXPORT.format(run.run_id))
        if views_to_export == "DASHBOARDS":
            return {"views": []}
        path = str(only.given["notebook_task"].get("notebook_path"))
        cells: list[tuple[str, str]] = []
        with suppress(ApiError, OSError):  # deleted since, or in a Git repository
            entry = await run_in_threadpool(self._sandbox.tree.find, user, path)
            content = await run_in_threadpool(entry.disk_path.read_bytes)
            cells = notebook_files.cells_of(content, entry.format, entry.language or "PYTHON")
        name = path.rpartition("/")[2]
        return {"views": [{"type": "NOTEBOOK", "name": name, "content": page_of(name, cells, only)}]}

    async def list_page(
        self,
        user: User,
        limit: Integer = 0,
        offset: Integer = 0,
        page_token: Token = 0,
        job_id: Integer = 0,
        run_type: str = "",
        start_time_from: Integer = 0,
        start_time_to: Integer | None = None,
        active_only: Flag = False,
        completed_only: Flag = False,
        expand_tasks: Flag = False,
    ) -> dict[str, Any]:
        """Show a page of the runs that the user may view."""
        part = Page(max(offset, 0) or page_token, limited(limit, _DEFAULT_PAGE, _MAX_PAGE))
        if active_only and completed_only:
            raise invalid("active_only and completed_only cannot both be true.")
        found = [
            run
            for run in self._runs.all()
            if self._may(user, run, "CAN_VIEW")
            and job_id in {0, run.job_id}
            and run_type in {"", run.kind}
            and start_time_from <= run.start <= (now() if start_time_to is None else start_time_to)
            and not (active_only and run.state.is_final)
            and not (completed_only and not run.state.is_final)
        ]
        answer = part.answer("runs", found, self._shown)
        if not expand_tasks:
            for one in answer.get("runs", []):
                del one["tasks"]
        return answer

    async def cancel(self, user: User, run_id: Integer) -> None:
        """Begin to cancel a run."""
        run, _ = self.find(user, run_id, "CAN_MANAGE_RUN")
        self._work.stop(run, runs.CANCELLED)

    async def cancel_all(self, user: User, job_id: Integer) -> None:
        """Begin to cancel all runs of a job."""
        for run in self._runs.all():
            if run.job_id == job_id and self._may(user, run, "CAN_MANAGE_RUN"):
                self._work.stop(run, runs.CANCELLED)

    async def delete(self, user: User, run_id: Integer) -> None:
        """Delete an ended run."""
        run, _ = self.find(user, run_id, MANAGE)
        if not run.state.is_final:
            raise invalid(f"Cannot delete run {run.run_id} because it is active.")
        await self._runs.remove(run)
        if self._jobs.find(run.job_id) is None:  # it was submitted, so its permissions were its own
            await self._sandbox.permissions.forget(key_of(run.job_id))

    def _shown(self, run: Run, only: TaskRun | None = None) -> dict[str, Any]:
        """Return a run, or the run of one of its tasks, with the address of its page."""
        page = f"{self._sandbox.url}/?o={self._sandbox.org_id}#job/{run.job_id}/run/{run.run_id}"
        return {**run.describe(only), "run_page_url": page}

    def table(self) -> dict[str, Handler]:
        """Return the handlers by their methods and paths."""
        return {
            "POST /runs/submit": self.submit,
            "GET /runs/get": self.get,
            "GET /runs/get-output": self.get_output,
            "GET /runs/export": self.export,
            "GET /runs/list": self.list_page,
            "POST /runs/cancel": self.cancel,
            "POST /runs/cancel-all": self.cancel_all,
            "POST /runs/delete": self.delete,
        }


def _with_tasks(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a submitted run with an array of tasks, also if its one task has no key."""
    settings = without(given, "idempotency_token", "format", "access_control_list")
    if settings.get("tasks") or not any(settings.get(kind) for kind in KINDS):
        return settings
    task = {name: settings.pop(name) for name in (*KINDS, *_OF_ONE_TASK) if name in settings}
    return {**settings, "format": "SINGLE_TASK", "tasks": [{"task_key": ONE_TASK, **task}]}
