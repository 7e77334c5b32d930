"""Repairs: some tasks of a run that has ended are done again, as part of the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox import job_parameters, job_settings
from kedro_databricks_hybrid.sandbox.answers import invalid
from kedro_databricks_hybrid.sandbox.fields import Fields, body
from kedro_databricks_hybrid.sandbox.job_outcome import State
from kedro_databricks_hybrid.sandbox.job_runs import Run, TaskRun, new_id
from kedro_databricks_hybrid.sandbox.jobs_api import overridden

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.job_runs import Runs
    from kedro_databricks_hybrid.sandbox.job_settings import Settings
    from kedro_databricks_hybrid.sandbox.job_work import JobWork
    from kedro_databricks_hybrid.sandbox.jobs import Jobs


class RepairsApi:
    """The handler of `jobs/runs/repair`."""

    def __init__(self, jobs: Jobs, runs: Runs, work: JobWork) -> None:
        self._jobs = jobs
        self._runs = runs
        self._work = work

    async def repair(self, request: Request) -> Response:
        """Begin to do tasks of a run again, with the job's settings as they are now."""
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
        settings = job_settings.read(given)
        keys = _chosen(run, settings, fields)
        parameters = {each["name"]: each["value"] for each in run.parameters if "value" in each}
        run.parameters = job_parameters.of_run(given, parameters | fields.mapping("job_parameters"))
        run.given = given
        _reopen(run, settings, keys)
        await self._runs.save()
        self._work.begin(run, settings, request.state.user)
        return JSONResponse({"repair_id": run.repairs[-1]})

    def routes(self) -> list[Route]:
        """Return the routes of this part of the family."""
        return [
            Route(f"/api/{version}/jobs/runs/repair", self.repair, methods=["POST"])
            for version in ("2.1", "2.2")
        ]


def _chosen(run: Run, settings: Settings, fields: Fields) -> set[str]:
    """Return the keys of the tasks that are to be done again."""
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
    """Make a run one that has yet to be done, as far as the chosen tasks are concerned."""
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
