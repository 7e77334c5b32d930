"""Saved jobs over HTTP: create, change, run, and repair.

A repair runs some tasks of an ended run again, as part of the same run: without it, users of
`databricks jobs repair-run` or of Airflow's Databricks operators could not try to repeat only what failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Array, ArrayOf, Flag, Integer, Object, parse, without
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.pages import ARRAY_PAGE, Page, Token, limited, paged_arrays
from kedro_databricks_hybrid.sandbox.core.permissions import MANAGE
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.jobs import runs
from kedro_databricks_hybrid.sandbox.jobs.model import (
    DEFAULT_NAME,
    KEYED_ARRAYS,
    Job,
    JobSettings,
    describe,
    merged,
)
from kedro_databricks_hybrid.sandbox.jobs.parameters import overridden, parameters_of_run, task_parameters
from kedro_databricks_hybrid.sandbox.jobs.run_routes import RunsApi
from kedro_databricks_hybrid.sandbox.jobs.runs import Run, State, TaskRun
from kedro_databricks_hybrid.sandbox.jobs.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User, Users
    from kedro_databricks_hybrid.sandbox.jobs.model import Jobs
    from kedro_databricks_hybrid.sandbox.jobs.runs import Runs
    from kedro_databricks_hybrid.sandbox.jobs.settings import Settings
    from kedro_databricks_hybrid.sandbox.jobs.worker import JobWork
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

_RUN = "CAN_MANAGE_RUN"
_MAX_PAGE = 100
_DEFAULT_PAGE = 20


class _Api:
    """The handlers of saved jobs."""

    def __init__(self, jobs: Jobs, users: Users, runs: Runs, work: JobWork, runs_api: RunsApi) -> None:
        self._jobs = jobs
        self._users = users
        self._runs = runs
        self._work = work
        self._runs_api = runs_api

    async def create(
        self, user: User, given: dict[str, Any], access_control_list: ArrayOf[dict[str, Any]]
    ) -> dict[str, Any]:
        settings = self._checked(without(given, "access_control_list"))
        return {"job_id": await self._jobs.create(user.name, settings, access_control_list)}

    async def get(
        self, request: Request, user: User, job_id: Integer, page_token: Token = 0
    ) -> dict[str, Any]:
        shown = describe(self._jobs.get(user.name, job_id))
        return paged_arrays(request, page_token, shown, shown["settings"], KEYED_ARRAYS)

    async def list_page(
        self,
        request: Request,
        user: User,
        name: str = "",
        limit: Integer = 0,
        offset: Integer = 0,
        page_token: Token = 0,
        expand_tasks: Flag = False,
    ) -> dict[str, Any]:
        part = Page(max(offset, 0) or page_token, limited(limit, _DEFAULT_PAGE, _MAX_PAGE))
        mine = self._jobs.of(user.name)
        found = [job for job in mine if name.lower() in {"", job["settings"]["name"].lower()}]
        first_version = request.url.path.startswith("/api/2.1/")
        return part.answer("jobs", found, lambda job: _in_list(job, expand_tasks, first_version))

    async def reset(self, user: User, job_id: Integer, new_settings: Object) -> None:
        self._jobs.get(user.name, job_id, MANAGE)["settings"] = self._checked(new_settings)
        await self._jobs.save()

    async def update(
        self, user: User, job_id: Integer, new_settings: Object, fields_to_remove: Array
    ) -> None:
        job = self._jobs.get(user.name, job_id, MANAGE)
        job["settings"] = self._checked(merged(job["settings"], new_settings, fields_to_remove))
        await self._jobs.save()

    async def delete(self, user: User, job_id: Integer) -> None:
        await self._jobs.remove(self._jobs.get(user.name, job_id, MANAGE))

    async def run_now(
        self,
        user: User,
        given: dict[str, Any],
        job_id: Integer,
        job_parameters: Object,
        only: Array,
        idempotency_token: str = "",
    ) -> dict[str, Any]:
        """Start a run of a job, see `run_job`."""
        run = self._runs_api.repeated(user, idempotency_token)
        if run is None:
            given = {**given, "job_parameters": job_parameters, "idempotency_token": idempotency_token}
            run = await self.run_job(user, self._jobs.get(user.name, job_id, _RUN), given, only)
        return {"run_id": run.run_id, "number_in_job": run.run_id}

    async def run_by_task(self, user: User, given: dict[str, Any], parent: Run) -> Run:
        """Start a run of a job for a run_job_task, which gives the parameters of the run.

        Raises:
            ApiError: The job does not exist, or would run itself.
        """
        job = self._jobs.get(user.name, int(given["job_id"]), _RUN)
        if job["job_id"] in self._runs.started_by(parent):
            raise invalid(f"Job {job['job_id']} would run itself.")
        return await self.run_job(user, job, given, [], parent.run_id)

    async def run_job(
        self, user: User, job: Job, given: dict[str, Any], only: list[Any], parent: int = 0
    ) -> Run:
        """Start a run of a job; at the limit of concurrent runs queue it, or skip it without a queue."""
        settings = _chosen(overridden(job["settings"], given), only)
        name, token = job["settings"]["name"], given.get("idempotency_token", "")
        run = Run(
            new_id(), job["job_id"], name, user.name, "JOB_RUN", settings, [], token, now(), parent=parent
        )
        run.parameters = parameters_of_run(settings, given.get("job_parameters") or {})
        run.overriding = task_parameters(given)
        await self._start(self._runner(job, user), run, parse(JobSettings, job["settings"]))
        return run

    def _runner(self, job: Job | None, user: User) -> User:
        """Return the user whose permissions a run of a job has: its owner, whoever starts it."""
        return (self._users.named(self._jobs.owner_of(job)) if job else None) or user

    async def _start(self, user: User, run: Run, settings: JobSettings) -> None:
        limit = settings.max_concurrent_runs
        active = [one for one in self._runs.all() if one.job_id == run.job_id and not one.state.is_final]
        if len(active) < limit:
            await self._runs_api.start(user, run)
        elif settings.queue.get("enabled"):
            await self._runs_api.start(user, run, limit=limit)
        else:
            run.state, run.end = runs.TOO_MANY, now()
            await self._runs.add(run)

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a job; refuse what is invalid or not supported by the workspace."""
        settings = parse(JobSettings, given)
        self._runs_api.check(settings)
        return {**given, "name": settings.name or DEFAULT_NAME}

    async def repair(
        self,
        user: User,
        given: dict[str, Any],
        run_id: Integer,
        job_parameters: Object,
        rerun_tasks: Array,
        latest_repair_id: Integer = 0,
        rerun_all_failed_tasks: Flag = False,
        rerun_dependent_tasks: Flag = False,
    ) -> dict[str, Any]:
        """Begin to run tasks again, with the current settings of the job."""
        run, only = self._runs_api.find(user, run_id, _RUN)
        if only is not None or run.kind != "JOB_RUN":
            raise invalid(f"Run {run_id} is not a run of a job.")
        if not run.state.is_final:
            raise invalid(f"Run {run.run_id} cannot be repaired because it is active.")
        if run.repairs and latest_repair_id != run.repairs[-1]:
            raise invalid(f"latest_repair_id must be the latest repair of run {run.run_id}.")
        job = self._jobs.find(run.job_id)
        changed = overridden(job["settings"] if job else run.given, given)
        settings = read_settings(changed)
        known = {task.key for task in settings.tasks}
        _check_keys(rerun_tasks, known)
        keys = set(rerun_tasks)
        if rerun_all_failed_tasks:
            keys |= {one.key for one in run.tasks if one.key in known and one.state.result != "SUCCESS"}
        if rerun_dependent_tasks:
            keys = _with_dependents(keys, settings)
        if not keys:
            raise invalid("No task to repair: set rerun_tasks or rerun_all_failed_tasks.")
        parameters = {each["name"]: each["value"] for each in run.parameters if "value" in each}
        run.parameters = parameters_of_run(changed, parameters | job_parameters)
        run.given = changed
        _reopen(run, keys)
        await self._runs.save(run)
        self._work.begin(run, settings, self._runner(job, user))
        return {"repair_id": run.repairs[-1]}


def routes(sandbox: Sandbox, jobs: Jobs, runs: Runs, work: JobWork) -> list[Route]:
    """Return the routes of jobs and runs."""
    runs_api = RunsApi(jobs, runs, work, sandbox)
    api = _Api(jobs, sandbox.users, runs, work, runs_api)
    work.start_job = api.run_by_task
    table: dict[str, Handler] = {
        "POST /create": api.create,
        "GET /get": api.get,
        "GET /list": api.list_page,
        "POST /reset": api.reset,
        "POST /update": api.update,
        "POST /delete": api.delete,
        "POST /run-now": api.run_now,
        "POST /runs/repair": api.repair,
        **runs_api.table(),
    }
    return endpoints(table, "/api/2.1/jobs", "/api/2.2/jobs")


def _check_keys(keys: list[Any], known: Iterable[str]) -> None:
    """Refuse keys of tasks that a job does not have."""
    for key in keys:
        if not isinstance(key, str) or key not in known:
            raise invalid(f"The job has no task {str(key)[:100]!r}.")


def _chosen(settings: dict[str, Any], only: list[Any]) -> dict[str, Any]:
    """Return a job's settings with only the chosen tasks, and dependencies between them."""
    if not only:
        return settings
    tasks = {task["task_key"]: task for task in settings.get("tasks") or []}
    _check_keys(only, tasks)
    chosen = [task for key, task in tasks.items() if key in only]
    for task in chosen:
        task["depends_on"] = [one for one in task.get("depends_on") or [] if one["task_key"] in only]
    return {**settings, "tasks": chosen}


def _in_list(job: Job, expand: bool, is_first_version: bool) -> dict[str, Any]:
    """Return a job as a listing shows it."""
    shown = describe(job)
    settings = shown["settings"]
    arrays = {name: settings[name] for name in KEYED_ARRAYS if isinstance(settings.get(name), list)}
    if not expand:
        settings = without(settings, *KEYED_ARRAYS)
    elif not is_first_version:
        shown["has_more"] = any(len(array) > ARRAY_PAGE for array in arrays.values())
        settings |= {name: array[:ARRAY_PAGE] for name, array in arrays.items()}
    return {**shown, "settings": settings}


def _with_dependents(keys: Iterable[str], settings: Settings) -> set[str]:
    found = set(keys)
    while more := {task.key for task in settings.tasks if found.intersection(task.after)} - found:
        found |= more
    return found


def _reopen(run: Run, keys: set[str]) -> None:
    """Reset a run, so that the chosen tasks are run again."""
    run.history.append(run.describe_attempt())
    old = {one.key: one for one in run.tasks}
    tasks = []
    for task in run.given["tasks"]:
        key = task["task_key"]
        before = old.get(key)
        if before is not None and key not in keys:
            tasks.append(before)
            continue
        tasks.append(TaskRun(new_id(), key, task, attempt=before.attempt + 1 if before else 0))
    kept = {one.run_id for one in tasks}
    run.earlier += [one for one in run.tasks if one.run_id not in kept]
    run.tasks = tasks
    run.repairs.append(new_id())
    run.state, run.end = State(), 0
