"""Saved jobs over HTTP: create, change, run, and repair.

A repair runs some tasks of an ended run again, as part of the same run: without it, users of
`databricks jobs repair-run` or of Airflow's Databricks operators could not try to repeat only what failed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body, query
from kedro_databricks_hybrid.sandbox.core.pages import ARRAY_PAGE, limit, page, paged_arrays
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.jobs import runs
from kedro_databricks_hybrid.sandbox.jobs.model import KEYED_ARRAYS, Job, Jobs, checked, describe, merged
from kedro_databricks_hybrid.sandbox.jobs.parameters import parameters_of_run
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, State, TaskRun
from kedro_databricks_hybrid.sandbox.jobs.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.jobs.run_routes import RunsApi
    from kedro_databricks_hybrid.sandbox.jobs.runs import Runs
    from kedro_databricks_hybrid.sandbox.jobs.settings import Settings
    from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork

_MAX_PAGE = 100
_DEFAULT_PAGE = 20
# Parameters of run-now, and the field of a task that each replaces.
OVERRIDES = {
    "notebook_params": ("notebook_task", "base_parameters"),
    "python_params": ("spark_python_task", "parameters"),
    "python_named_params": ("python_wheel_task", "named_parameters"),
}


class JobsApi:
    """The handlers of saved jobs."""

    def __init__(self, jobs: Jobs, runs: Runs, runs_api: RunsApi) -> None:
        self._jobs = jobs
        self._runs = runs
        self._runs_api = runs_api

    async def create(self, request: Request) -> Response:
        """Create a job."""
        settings = self._checked((await body(request)).without({"access_control_list"}))
        return JSONResponse({"job_id": await self._jobs.create(request.state.user.name, settings)})

    async def get(self, request: Request) -> Response:
        """Show a job."""
        shown = describe(self._job(request, query(request)))
        return JSONResponse(paged_arrays(request, shown, shown["settings"], KEYED_ARRAYS))

    async def list_page(self, request: Request) -> Response:
        """Show a page of the user's jobs."""
        fields = query(request)
        part = page(fields, limit(fields, _DEFAULT_PAGE, _MAX_PAGE), offset="offset")
        name = fields.text("name", "").lower()
        mine = self._jobs.of(request.state.user.name)
        found = [job for job in mine if name in {"", job["settings"]["name"].lower()}]
        expand = fields.flag("expand_tasks")
        shown = [
            _in_list(describe(job), expand=expand, is_first_version=request.url.path.startswith("/api/2.1/"))
            for job in part.of(found)
        ]
        answer: dict[str, Any] = {"jobs": shown} if shown else {}
        following = part.next(len(found))
        return JSONResponse({**answer, "has_more": bool(following), **following})

    async def reset(self, request: Request) -> Response:
        """Replace a job's settings."""
        fields = await body(request)
        self._job(request, fields)["settings"] = self._checked(fields.mapping("new_settings"))
        await self._jobs.save()
        return JSONResponse({})

    async def update(self, request: Request) -> Response:
        """Replace some of a job's settings."""
        fields = await body(request)
        job = self._job(request, fields)
        new, removed = fields.mapping("new_settings"), fields.items("fields_to_remove")
        job["settings"] = self._checked(merged(job["settings"], new, removed))
        await self._jobs.save()
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        """Delete a job."""
        await self._jobs.remove(self._job(request, await body(request)))
        return JSONResponse({})

    async def run_now(self, request: Request) -> Response:
        """Start a run of a job; at the limit of concurrent runs queue it, or skip it without a queue."""
        fields = await body(request)
        user = request.state.user
        job = self._job(request, fields)
        run = self._runs_api.repeated(user, fields)
        if run is None:
            run = self._run(job, user.name, fields)
            limit = Fields(job["settings"]).number("max_concurrent_runs", 1)
            active = [one for one in self._runs.all() if one.job_id == run.job_id and not one.state.is_final]
            if len(active) < limit:
                await self._runs_api.start(user, run)
            elif (job["settings"].get("queue") or {}).get("enabled"):
                await self._runs_api.start(user, run, limit=limit)
            else:
                run.state, run.end = runs.TOO_MANY, now()
                await self._runs.add(run)
        return JSONResponse({"run_id": run.run_id, "number_in_job": run.run_id})

    @staticmethod
    def _run(job: Job, user: str, fields: Fields) -> Run:
        """Return a new run of a job."""
        given = _chosen(overridden(job["settings"], fields), fields.items("only"))
        token = fields.text("idempotency_token", "")
        run = Run(new_id(), job["job_id"], given["name"], user, "JOB_RUN", given, [], token, now())
        run.parameters = parameters_of_run(given, fields.mapping("job_parameters"))
        run.overriding = {name: value for name in OVERRIDES if (value := fields.without(set()).get(name))}
        return run

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a job; refuse what is invalid or not supported by the workspace."""
        found = checked(settings)
        if found.get("tasks"):
            self._runs_api.read(found)
        return found

    def _job(self, request: Request, fields: Fields) -> Job:
        return self._jobs.get(request.state.user.name, fields.number("job_id"))


def routes(api: JobsApi) -> list[Route]:
    """Return the routes of saved jobs."""
    found = []
    for version in ("2.1", "2.2"):
        base = f"/api/{version}/jobs"
        found += [
            Route(f"{base}/create", api.create, methods=["POST"]),
            Route(f"{base}/get", api.get, methods=["GET"]),
            Route(f"{base}/list", api.list_page, methods=["GET"]),
            Route(f"{base}/reset", api.reset, methods=["POST"]),
            Route(f"{base}/update", api.update, methods=["POST"]),
            Route(f"{base}/delete", api.delete, methods=["POST"]),
            Route(f"{base}/run-now", api.run_now, methods=["POST"]),
        ]
    return found


def overridden(settings: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """Return a job's settings with the task parameters of one run."""
    given = copy.deepcopy(settings)
    for name, (kind, parameter) in OVERRIDES.items():
        if not fields.has(name):
            continue
        value = fields.items(name) if name == "python_params" else fields.mapping(name)
        for task in given.get("tasks") or []:
            if kind in task:
                old = task[kind].get(parameter)
                task[kind][parameter] = {**(old or {}), **value} if isinstance(value, dict) else value
    return given


def _chosen(settings: dict[str, Any], only: list[Any]) -> dict[str, Any]:
    """Return a job's settings with only the chosen tasks, and dependencies between them."""
    if not only:
        return settings
    tasks = {task["task_key"]: task for task in settings.get("tasks") or []}
    unknown = [key for key in only if not isinstance(key, str) or key not in tasks]
    if unknown:
        raise invalid(f"The job has no task {str(unknown[0])[:100]!r}.")
    chosen = [task for key, task in tasks.items() if key in only]
    for task in chosen:
        task["depends_on"] = [one for one in task.get("depends_on") or [] if one["task_key"] in only]
    return {**settings, "tasks": chosen}


def _in_list(shown: dict[str, Any], *, expand: bool, is_first_version: bool) -> dict[str, Any]:
    """Return a job as a listing shows it."""
    settings = shown["settings"]
    if not expand:
        return {**shown, "settings": Fields(settings).without(set(KEYED_ARRAYS))}
    if not is_first_version:
        arrays = {name: settings[name] for name in KEYED_ARRAYS if isinstance(settings.get(name), list)}
        shown["has_more"] = any(len(array) > ARRAY_PAGE for array in arrays.values())
        shown["settings"] = {**settings, **{name: array[:ARRAY_PAGE] for name, array in arrays.items()}}
    return shown


class RepairsApi:
    """The handler of `jobs/runs/repair`."""

    def __init__(self, jobs: Jobs, runs: Runs, work: JobWork) -> None:
        self._jobs = jobs
        self._runs = runs
        self._work = work

    async def repair(self, request: Request) -> Response:
        """Begin to run tasks again, with the current settings of the job."""
        fields = await body(request)
        run, only = self._runs.find(request.state.user.name, fields.number("run_id"))
        if only is not None or run.kind != "JOB_RUN":
            raise invalid(f"Run {fields.number('run_id')} is not a run of a job.")
        if not run.state.is_final:
            raise invalid(f"Run {run.run_id} cannot be repaired because it is active.")
        if run.repairs and fields.number("latest_repair_id", 0) != run.repairs[-1]:
            raise invalid(f"latest_repair_id must be the latest repair of run {run.run_id}.")
        job = self._jobs.find(run.job_id)
        given = overridden(job["settings"] if job else run.given, fields)
        settings = read_settings(given)
        keys = _tasks_to_repair(run, settings, fields)
        parameters = {each["name"]: each["value"] for each in run.parameters if "value" in each}
        run.parameters = parameters_of_run(given, parameters | fields.mapping("job_parameters"))
        run.given = given
        _reopen(run, settings, keys)
        await self._runs.save(run)
        self._work.begin(run, settings, request.state.user)
        return JSONResponse({"repair_id": run.repairs[-1]})

    def routes(self) -> list[Route]:
        """Return the routes of repairs."""
        return [
            Route(f"/api/{version}/jobs/runs/repair", self.repair, methods=["POST"])
            for version in ("2.1", "2.2")
        ]


def _tasks_to_repair(run: Run, settings: Settings, fields: Fields) -> set[str]:
    """Return the keys of the tasks to run again."""
    known = {task.key for task in settings.tasks}
    named: list[Any] = fields.items("rerun_tasks")
    unknown = [key for key in named if not isinstance(key, str) or key not in known]
    if unknown:
        raise invalid(f"The job has no task {str(unknown[0])[:100]!r}.")
    keys = set(named)
    if fields.flag("rerun_all_failed_tasks"):
        keys |= {one.key for one in run.tasks if one.key in known and one.state.result != "SUCCESS"}
    if fields.flag("rerun_dependent_tasks"):
        keys = _with_dependents(keys, settings)
    if not keys:
        raise invalid("No task to repair: set rerun_tasks or rerun_all_failed_tasks.")
    return keys


def _with_dependents(keys: Iterable[str], settings: Settings) -> set[str]:
    found = set(keys)
    while more := {task.key for task in settings.tasks if found.intersection(task.after)} - found:
        found |= more
    return found


def _reopen(run: Run, settings: Settings, keys: set[str]) -> None:
    """Reset a run, so that the chosen tasks are run again."""
    run.history.append(run.describe_attempt())
    old = {one.key: one for one in run.tasks}
    tasks = []
    for task in settings.tasks:
        before = old.get(task.key)
        if before is not None and task.key not in keys:
            tasks.append(before)
            continue
        tasks.append(TaskRun(new_id(), task.key, task.given, attempt=before.attempt + 1 if before else 0))
    kept = {one.run_id for one in tasks}
    run.earlier += [one for one in run.tasks if one.run_id not in kept]
    run.tasks = tasks
    run.repairs.append(new_id())
    run.state, run.end = State(), 0
