"""The parameters of a job's run: their values, how tasks get them, and `{{references}}` in settings. Pure.

Bundles pass job parameters to scripts and wheels by `{{job.parameters.NAME}}`; without references such tasks
would get that text as their argument.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Required, parse
from kedro_databricks_hybrid.sandbox.core.errors import invalid

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.jobs.runs import Run, TaskRun
    from kedro_databricks_hybrid.sandbox.jobs.settings import Task

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_REFERENCE = re.compile(r"\{\{\s*([\w.]+(?:\.`[^`]+`)?)\s*\}\}")


class _Parameter(Body):
    name: Required
    default: str = ""


def checked_parameters(given: list[Any]) -> list[Any]:
    """Refuse parameters of a job without a valid, unique name or with a default that is not a string."""
    if not all(isinstance(one, dict) for one in given):
        raise invalid("parameters must be objects with a name and a default.")
    names = [parse(_Parameter, one).name for one in given]
    for name in names:
        if not _NAME.fullmatch(name):
            raise invalid(f"Job parameter name {name[:100]!r} may hold letters, digits and _-. only.")
    if len(set(names)) < len(names):
        raise invalid("Job parameter names must be unique.")
    return given


def parameters_of_run(settings: dict[str, Any], given: dict[str, Any]) -> list[dict[str, str]]:
    """Return the parameters of a run as `runs/get` shows them, each with its default and its value.

    Args:
        settings: The job's settings.
        given: The `job_parameters` of the request, which may have names that the job does not define.
    """
    if not all(isinstance(value, str) for value in given.values()):
        raise invalid("job_parameters must be strings.")
    shown = {
        str(one["name"]): {"name": str(one["name"]), "default": str(one.get("default", ""))}
        for one in settings.get("parameters") or []
    }
    for name, value in given.items():
        shown.setdefault(name, {"name": name})["value"] = value
    return list(shown.values())


def with_parameters(task: Task, run: Run, one: TaskRun) -> Task:
    """Return a task with the run's parameters added and every reference replaced.

    Tasks with named parameters get all parameters of the run, which override those of the same name; tasks
    with a list of parameters get only those that they refer to.
    """
    known = _references(run, one)
    parameters = {
        each["name"]: _filled(each.get("value", each.get("default", "")), known) for each in run.parameters
    }
    known |= {f"job.parameters.{name}": value for name, value in parameters.items()}
    settings = task.settings
    if task.kind == "notebook_task":
        settings["base_parameters"] = {**(settings.get("base_parameters") or {}), **parameters}
    elif "named_parameters" in settings:
        settings["named_parameters"] = {**(settings["named_parameters"] or {}), **parameters}
    return task.model_copy(update={task.kind: _filled(settings, known)})


def _references(run: Run, one: TaskRun) -> dict[str, str]:
    began = dt.datetime.fromtimestamp(run.start / 1000, dt.timezone.utc)
    known = {
        "job.id": run.job_id,
        "job.name": run.name,
        "job.run_id": run.run_id,
        "job.repair_count": len(run.repairs),
        "job.trigger.type": "one_time",
        "job.start_time.timestamp_ms": run.start,
        "job.start_time.iso_date": began.date().isoformat(),
        "job.start_time.iso_datetime": began.replace(microsecond=0, tzinfo=None).isoformat(),
        "task.name": one.key,
        "task.run_id": one.run_id,
        "task.execution_count": one.attempt + 1,
    }
    for other in run.tasks:
        known[f"tasks.{other.key}.run_id"] = other.run_id
        known[f"tasks.{other.key}.result_state"] = other.state.result.lower()
    return {name: str(value) for name, value in known.items()}


def _filled(value: Any, known: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Return a value with its references replaced, except unknown ones."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: known.get(match[1].replace("`", ""), match[0]), value)
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    return value
