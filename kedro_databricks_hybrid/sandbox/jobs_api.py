"""The jobs API: jobs that are saved, and their runs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox import job_outcome, job_settings
from kedro_databricks_hybrid.sandbox.answers import denied, invalid
from kedro_databricks_hybrid.sandbox.fields import Fields, body, page_offset, query
from kedro_databricks_hybrid.sandbox.job_runs import Run, Runs, new_id, now

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.runs_api import RunsApi
    from kedro_databricks_hybrid.sandbox.store import Store

_DOCUMENT = "jobs"
_DEFAULT_NAME = "Untitled"
_MAX_PAGE = 100
_DEFAULT_PAGE = 20
# Parameters of run-now, and what they stand in for in a task.
_OVERRIDES = {
    "notebook_params": ("notebook_task", "base_parameters"),
    "python_params": ("spark_python_task", "parameters"),
    "python_named_params": ("python_wheel_task", "named_parameters"),
}


class _Api:
    """The handlers of this half of the family."""

    def __init__(self, store: Store, runs: Runs, runs_api: RunsApi) -> None:
        self._store = store
        self._runs = runs
        self._runs_api = runs_api
        self._jobs: dict[str, dict[str, Any]] = store.load(_DOCUMENT)

    async def create(self, request: Request) -> Response:
        settings = _checked((await body(request)).without({"access_control_list"}))
        job_id = new_id()
        self._jobs[str(job_id)] = {
            "job_id": job_id,
            "creator_user_name": request.state.user.name,
            "created_time": now(),
            "settings": settings,
        }
        await self._save()
        return JSONResponse({"job_id": job_id})

    async def get(self, request: Request) -> Response:
        job = self._job(request, query(request))
        return JSONResponse({**job, "run_as_user_name": job["creator_user_name"]})

    async def list_page(self, request: Request) -> Response:
        fields = query(request)
        size = fields.number("limit", _DEFAULT_PAGE) or _DEFAULT_PAGE
        if not 0 < size <= _MAX_PAGE:
            raise invalid(f"limit must be between 1 and {_MAX_PAGE}")
        name = fields.text("name", "").lower()
        found = [
            job
            for job in reversed(self._jobs.values())
            if job["creator_user_name"] == request.state.user.name
            and name in {"", job["settings"]["name"].lower()}
        ]
        start = page_offset(fields)
        shown = found[start : start + size]
        if not fields.flag("expand_tasks"):
            hidden = {"tasks", "job_clusters", "environments"}
            shown = [{**job, "settings": Fields(job["settings"]).without(hidden)} for job in shown]
        answer: dict[str, Any] = {"jobs": shown} if shown else {}
        answer["has_more"] = start + size < len(found)
        if answer["has_more"]:
            answer["next_page_token"] = str(start + size)
        return JSONResponse(answer)

    async def reset(self, request: Request) -> Response:
        fields = await body(request)
        self._job(request, fields)["settings"] = _checked(fields.mapping("new_settings"))
        await self._save()
        return JSONResponse({})

    async def update(self, request: Request) -> Response:
        fields = await body(request)
        job = self._job(request, fields)
        removed = {str(name) for name in fields.items("fields_to_remove")}
        kept = Fields(job["settings"]).without(removed)
        job["settings"] = _checked({**kept, **fields.mapping("new_settings")})
        await self._save()
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        job = self._job(request, await body(request))
        del self._jobs[str(job["job_id"])]
        await self._save()
        return JSONResponse({})

    async def run_now(self, request: Request) -> Response:
        fields = await body(request)
        user = request.state.user
        job = self._job(request, fields)
        run = self._runs_api.repeated(user, fields)
        if run is None:
            given = _overridden(job["settings"], fields)
            token = fields.text("idempotency_token", "")
            active = [
                one for one in self._runs.all() if one.job_id == job["job_id"] and not one.state.is_final
            ]
            if len(active) >= Fields(given).number("max_concurrent_runs", 1):
                run = await self._skip(job, user.name, given, token)
            else:
                run = await self._runs_api.start(user, given, given["name"], token, job["job_id"])
        return JSONResponse({"run_id": run.run_id, "number_in_job": run.run_id})

    async def _skip(self, job: dict[str, Any], user: str, given: dict[str, Any], token: str) -> Run:
        run = Run(new_id(), job["job_id"], given["name"], user, "JOB_RUN", given, [], token, now(), now())
        run.state = job_outcome.TOO_MANY
        await self._runs.add(run)
        return run

    def _job(self, request: Request, fields: Fields) -> dict[str, Any]:
        job_id = fields.number("job_id")
        job = self._jobs.get(str(job_id))
        if job is None:
            raise invalid(f"Job {job_id} does not exist.")
        if job["creator_user_name"] != request.state.user.name:
            raise denied(
                f"User {request.state.user.name} does not have View or Admin or Manage Run or Owner "
                f"permissions on job {job_id}"
            )
        return job

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, self._jobs)


def routes(store: Store, runs: Runs, runs_api: RunsApi) -> list[Route]:
    """Return the routes of the family."""
    api = _Api(store, runs, runs_api)
    found = runs_api.routes()
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


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a job's settings, or refuse what could not be run."""
    fields = Fields(settings)
    fields.number("max_concurrent_runs", 1)
    if settings.get("tasks"):
        job_settings.read(settings)
    return {**settings, "name": fields.text("name", "") or _DEFAULT_NAME}


def _overridden(settings: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """Return a job's settings with the parameters of one run."""
    given = copy.deepcopy(settings)
    for name, (kind, parameter) in _OVERRIDES.items():
        if not fields.has(name):
            continue
        value = fields.items(name) if name == "python_params" else fields.mapping(name)
        for task in given.get("tasks", []):
            if kind in task:
                old = task[kind].get(parameter)
                task[kind][parameter] = {**(old or {}), **value} if isinstance(value, dict) else value
    return given
