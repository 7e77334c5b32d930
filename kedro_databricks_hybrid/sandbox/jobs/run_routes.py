"""Runs over HTTP: submit, get, get-output, list, cancel, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import denied, invalid
from kedro_databricks_hybrid.sandbox.core.fields import body, query
from kedro_databricks_hybrid.sandbox.core.pages import limit, page, paged_arrays
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.jobs import runs
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, Runs, TaskRun
from kedro_databricks_hybrid.sandbox.jobs.settings import Settings, read_settings
from kedro_databricks_hybrid.sandbox.kernel.access import NOTEBOOK_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.fields import Fields
    from kedro_databricks_hybrid.sandbox.identity.users import User
    from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_DEFAULT_NAME = "Untitled"
_ARRAYS = ("tasks", "job_clusters", "job_parameters", "repair_history")
_MAX_TOKEN = 64
_MAX_PAGE = 25
_DEFAULT_PAGE = 20
# Not verified against a live workspace: the code, and the message after its first sentence.
NO_TASK_ENVIRONMENT = (
    "A task environment can not be provided for notebook task {key}. Please use the %pip magic command to "
    "install notebook-scoped Python libraries and Python wheel packages"
)
_MANY_TASKS = (
    "Retrieving the output of runs with multiple tasks is not supported. "
    "Please retrieve the output of each individual task run instead."
)


class RunsApi:
    """The handlers of runs."""

    def __init__(self, runs: Runs, work: JobWork, sandbox: Sandbox) -> None:
        self._runs = runs
        self._work = work
        self._sandbox = sandbox
        self._clusters = sandbox.clusters

    def read(self, given: Mapping[str, Any]) -> Settings:
        """Return the settings of a job or run; refuse what is invalid or not supported by the workspace."""
        settings = read_settings(given)
        if settings.makes_clusters:
            self._clusters.check_offered()
        for task in settings.tasks:
            if (
                task.kind == "notebook_task"
                and "environment_key" in task.compute
                and not self._sandbox.task_environments
            ):
                raise invalid(NO_TASK_ENVIRONMENT.format(key=task.key))
        return settings

    async def start(self, user: User, run: Run, limit: int = 0) -> None:
        """Begin a run, or refuse its settings.

        Args:
            user: The user who runs it.
            run: The run, without its tasks.
            limit: How many runs of its job may be active at once; 0 for any number.
        """
        settings = self.read(run.given)
        for task in settings.tasks:
            if "existing_cluster_id" in task.compute:
                refusal = self._clusters.get(task.compute["existing_cluster_id"]).refusal_of(user.name)
                if refusal:
                    raise denied(refusal)
        run.tasks = [TaskRun(new_id(), task.key, task.given) for task in settings.tasks]
        if limit:
            run.state = runs.State("QUEUED", message="Queued due to the limit of concurrent runs.")
        await self._runs.add(run)
        self._work.begin(run, settings, user, limit)

    def repeated(self, user: User, fields: Fields) -> Run | None:
        """Return the run that an earlier request with the same idempotency token started, else None."""
        token = fields.text("idempotency_token", "")
        if len(token) > _MAX_TOKEN:
            raise invalid(f"idempotency_token is longer than {_MAX_TOKEN} characters.")
        return self._runs.with_token(user.name, token)

    async def submit(self, request: Request) -> Response:
        """Start a run without a job."""
        fields = await body(request)
        user = request.state.user
        run = self.repeated(user, fields)
        if run is None:
            given = fields.without({"idempotency_token"})
            name = fields.text("run_name", "") or _DEFAULT_NAME
            token = fields.text("idempotency_token", "")
            by_notebook = hasattr(request.state, "notebook") and NOTEBOOK_HEADER in request.headers
            kind = "WORKFLOW_RUN" if by_notebook else "SUBMIT_RUN"
            run = Run(new_id(), new_id(), name, user.name, kind, given, [], token, now())
            await self.start(user, run)
            if by_notebook:
                request.state.notebook.runs.append(run.run_id)
        return JSONResponse({"run_id": run.run_id})

    async def get(self, request: Request) -> Response:
        """Show a run, or the run of one task."""
        fields = query(request)
        run, only = self._runs.find(request.state.user.name, fields.number("run_id"))
        shown = run.describe(only)
        if fields.flag("include_history"):
            shown["repair_history"] = [*run.history, run.describe_attempt()]
        if fields.flag("include_resolved_values"):
            resolved = {one.run_id: one.resolved for one in [*run.tasks, *run.earlier]}
            shown["tasks"] = [{**one, "resolved_values": resolved[one["run_id"]]} for one in shown["tasks"]]
        return JSONResponse(paged_arrays(request, shown, shown, _ARRAYS))

    async def get_output(self, request: Request) -> Response:
        """Show the output of a task."""
        run, only = self._runs.find(request.state.user.name, query(request).number("run_id"))
        if only is None:
            raise invalid(_MANY_TASKS)
        output = only.output.describe() if only.state.is_final else {}
        if only.state.result == "FAILED" and not output.get("error"):
            output["error"] = only.state.message
        return JSONResponse({"metadata": run.describe(only), **output})

    async def list_page(self, request: Request) -> Response:
        """Show a page of the user's runs."""
        fields = query(request)
        part = page(fields, limit(fields, _DEFAULT_PAGE, _MAX_PAGE), offset="offset")
        active, completed = fields.flag("active_only"), fields.flag("completed_only")
        if active and completed:
            raise invalid("active_only and completed_only cannot both be true.")
        job_id = fields.number("job_id", 0)
        kind = fields.text("run_type", "")
        found = [
            run
            for run in self._runs.all()
            if run.creator == request.state.user.name
            and job_id in {0, run.job_id}
            and kind in {"", run.kind}
            and fields.number("start_time_from", 0) <= run.start <= fields.number("start_time_to", now())
            and not (active and run.state.is_final)
            and not (completed and not run.state.is_final)
        ]
        shown = [run.describe() for run in part.of(found)]
        if not fields.flag("expand_tasks"):
            for one in shown:
                del one["tasks"]
        answer: dict[str, Any] = {"runs": shown} if shown else {}
        following = part.next(len(found))
        return JSONResponse({**answer, "has_more": bool(following), **following})

    async def cancel(self, request: Request) -> Response:
        """Begin to cancel a run."""
        fields = await body(request)
        run, _ = self._runs.find(request.state.user.name, fields.number("run_id"))
        self._work.stop(run, runs.CANCELLED)
        return JSONResponse({})

    async def cancel_all(self, request: Request) -> Response:
        """Begin to cancel all runs of a job."""
        fields = await body(request)
        job_id = fields.number("job_id")
        for run in self._runs.all():
            if run.job_id == job_id and run.creator == request.state.user.name:
                self._work.stop(run, runs.CANCELLED)
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        """Delete an ended run."""
        fields = await body(request)
        run, _ = self._runs.find(request.state.user.name, fields.number("run_id"))
        if not run.state.is_final:
            raise invalid(f"Cannot delete run {run.run_id} because it is active.")
        await self._runs.remove(run)
        return JSONResponse({})

    def routes(self) -> list[Route]:
        """Return the routes of runs."""
        found = []
        for version in ("2.1", "2.2"):
            base = f"/api/{version}/jobs/runs"
            found += [
                Route(f"{base}/submit", self.submit, methods=["POST"]),
                Route(f"{base}/get", self.get, methods=["GET"]),
                Route(f"{base}/get-output", self.get_output, methods=["GET"]),
                Route(f"{base}/list", self.list_page, methods=["GET"]),
                Route(f"{base}/cancel", self.cancel, methods=["POST"]),
                Route(f"{base}/cancel-all", self.cancel_all, methods=["POST"]),
                Route(f"{base}/delete", self.delete, methods=["POST"]),
            ]
        return found
