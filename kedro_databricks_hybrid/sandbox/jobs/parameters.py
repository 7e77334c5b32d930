"""The parameters of a job's run: their values, how tasks get them, and `{{references}}` in settings. Pure.

Bundles pass job parameters to scripts and wheels by `{{job.parameters.NAME}}`; without references such tasks
would get that text as their argument.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Required, parse
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.jobs.control_flow import as_text
from kedro_databricks_hybrid.sandbox.jobs.runs import TaskFailedError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.jobs.runs import Run, TaskRun
    from kedro_databricks_hybrid.sandbox.jobs.settings import Task

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_REFERENCE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")
_TASK_VALUE = re.compile(r"tasks\.([^.]+)\.values\.(.+)")


# The fields of tasks that each parameter of a request replaces.
_OVERRIDDEN = {
    "notebook_params": {"notebook_task": "base_parameters"},
    "python_params": {"spark_python_task": "parameters", "python_wheel_task": "parameters"},
    "python_named_params": {"python_wheel_task": "named_parameters"},
    "jar_params": {"spark_jar_task": "parameters"},
    "spark_submit_params": {"spark_submit_task": "parameters"},
    "sql_params": {"sql_task": "parameters"},
    "dbt_commands": {"dbt_task": "commands"},
}


class _Overrides(Body):
    notebook_params: dict[str, Any] | None = None
    python_params: list[Any] | None = None
    python_named_params: dict[str, Any] | None = None
    jar_params: list[Any] | None = None
    spark_submit_params: list[Any] | None = None
    sql_params: dict[str, Any] | None = None
    dbt_commands: list[Any] | None = None


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


def task_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Return the task parameters of a request, as the run shows them."""
    return {name: given[name] for name in _OVERRIDDEN if given.get(name)}


def overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the task parameters of a request: lists replace, named ones are merged."""
    changed = copy.deepcopy(settings)
    tasks = [task for task in changed.get("tasks") or [] if isinstance(task, dict)]
    tasks += [task["for_each_task"].get("task") or {} for task in tasks if task.get("for_each_task")]
    for name, value in parse(_Overrides, given):
        for kind, parameter in _OVERRIDDEN[name].items() if value else ():
            for own in (task[kind] for task in tasks if isinstance(task.get(kind), dict)):
                if kind == "python_wheel_task":  # which has a list or named parameters, not both
                    own.pop("named_parameters" if parameter == "parameters" else "parameters", None)
                old = own.get(parameter) or {}
                own[parameter] = {**old, **value} if isinstance(value, dict) else value
    return changed


def with_parameters(task: Task, run: Run, one: TaskRun) -> Task:
    """Return a task with the run's parameters added and every reference replaced.

    Tasks with named parameters get all parameters of the run, which override those of the same name; tasks
    with a list of parameters get only those that they refer to. A loop gets its inputs; its task gets the
    rest in each iteration.

    Raises:
        TaskFailedError: It refers to a value that no task has set.
    """
    known = _references(run, one)
    parameters = {
        each["name"]: _filled(each.get("value", each.get("default", "")), known) for each in run.parameters
    }
    known |= {f"job.parameters.{name}": value for name, value in parameters.items()}
    settings = task.settings
    if task.kind == "for_each_task":
        return task.model_copy(
            update={"work": {task.kind: {**settings, "inputs": _filled(settings["inputs"], known)}}}
        )
    if task.kind == "notebook_task":
        settings["base_parameters"] = {**(settings.get("base_parameters") or {}), **parameters}
    elif "named_parameters" in settings:
        settings["named_parameters"] = {**(settings["named_parameters"] or {}), **parameters}
    return task.model_copy(update={"work": {task.kind: _filled(settings, known)}})


def _references(run: Run, one: TaskRun) -> dict[str, str]:
    began = dt.datetime.fromtimestamp(run.start / 1000, dt.timezone.utc)
    known = {
        "job.id": run.job_id,
        "job.name": run.name,
        "job.run_id": run.run_id,
        "job.repair_count": len(run.repairs),
        "job.trigger.type": run.trigger.lower(),
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
        for name, value in other.values.items():
            known[f"tasks.{other.key}.values.{name}"] = as_text(value)
    if one.is_iteration:
        known["input"] = as_text(one.input)
        for name, value in one.input.items() if isinstance(one.input, dict) else ():
            known[f"input.{name}"] = as_text(value)
    return {name: str(value) for name, value in known.items()}


def _filled(value: Any, known: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """Return a value with its references replaced, except unknown ones."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _referred(match, known), value)
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    return value


def _referred(match: re.Match[str], known: dict[str, str]) -> str:
    name = match[1].replace("`", "")
    value = _TASK_VALUE.fullmatch(name)
    if value and name not in known:
        raise TaskFailedError(
            "INVALID_RUN_CONFIGURATION", f"Task {value[1]} has not set the value {value[2]!r}."
        )
    return known.get(name, match[0])
