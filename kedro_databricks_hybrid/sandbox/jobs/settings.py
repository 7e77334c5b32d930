"""Read and check the settings of a job or a run, with the errors of the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.clusters import libraries, runtimes
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.fields import Fields
from kedro_databricks_hybrid.sandbox.jobs import task_order
from kedro_databricks_hybrid.sandbox.repos.credentials import PROVIDERS, provider_named

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("notebook_task", "spark_python_task", "python_wheel_task")
MAX_TASKS = 1000
MAX_PARAMETER_BYTES = 1024 * 1024
_MAX_KEY = 100
# The fields that each kind of task requires; any other kind is refused.
_REQUIRED = {
    "notebook_task": ("notebook_path",),
    "spark_python_task": ("python_file",),
    "python_wheel_task": ("package_name", "entry_point"),
}


@dataclass(frozen=True)
class Task:
    """One task of a job.

    Attributes:
        key: Its name in the job.
        kind: One of KINDS.
        settings: The settings of that kind.
        after: The keys of the tasks that it depends on.
        compute: existing_cluster_id, new_cluster, job_cluster_key or environment_key, as given.
        libraries: The libraries to install on its cluster.
        timeout: Seconds, 0 for no limit.
        condition: Its `run_if`: with which results of those tasks it starts.
        retries: How often to retry it after a failure, -1 for no limit.
        pause: Seconds before a retry.
        given: The task as given.
    """

    key: str
    kind: str
    settings: dict[str, Any]
    after: tuple[str, ...]
    compute: dict[str, Any]
    libraries: list[dict[str, Any]]
    timeout: int
    condition: str
    retries: int
    pause: float
    given: dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The settings of a job or a one-time run."""

    tasks: tuple[Task, ...]
    job_clusters: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]
    git_source: dict[str, Any] = field(default_factory=dict)
    timeout: int = 0

    @property
    def makes_clusters(self) -> bool:
        """Whether its runs create job clusters."""
        return bool(self.job_clusters) or any("new_cluster" in task.compute for task in self.tasks)


def read_settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings in a request.

    Raises:
        ApiError: 400, with the message of the API where it is known.
    """
    fields = Fields(values)
    clusters = {
        Fields(one).text("job_cluster_key"): Fields(one).mapping("new_cluster")
        for one in _objects(fields, "job_clusters")
    }
    environments = {
        Fields(one).text("environment_key"): Fields(one).mapping("spec")
        for one in _objects(fields, "environments")
    }
    for spec in environments.values():
        for name in ("environment_version", "client"):
            Fields(spec).text(name, "")
        if not all(isinstance(line, str) for line in Fields(spec).items("dependencies")):
            raise invalid("dependencies must be strings.")
    for cluster in clusters.values():
        _check_cluster(cluster)
    tasks = tuple(_task(Fields(one), one) for one in _objects(fields, "tasks"))
    if not tasks:
        raise invalid(
            "One of job_cluster_key, new_cluster, or existing_cluster_id and a task must be specified."
        )
    if len(tasks) > MAX_TASKS:
        raise invalid(f"A job has at most {MAX_TASKS} tasks.")
    keys = {task.key for task in tasks}
    if len(keys) < len(tasks):
        raise invalid("Task keys must be unique.")
    for task in tasks:
        _check_references(task, tasks, clusters, environments)
    _check_order(tasks)
    return Settings(tasks, clusters, environments, _git_source(fields), fields.number("timeout_seconds", 0))


def _task(fields: Fields, given: dict[str, Any]) -> Task:
    key = fields.text("task_key")
    if len(key) > _MAX_KEY:
        raise invalid(f"task_key is longer than {_MAX_KEY} characters.")
    kinds = [name for name in KINDS if fields.has(name)]
    if len(kinds) != 1:
        raise invalid(
            f"Task {key} must be exactly one of: {', '.join(KINDS)} (the sandbox runs no other kind)."
        )
    settings = fields.mapping(kinds[0])
    for name in _REQUIRED[kinds[0]]:
        Fields(settings).text(name)
    if len(str(settings).encode(errors="replace")) > MAX_PARAMETER_BYTES:
        raise invalid(f"The parameters of task {key} are larger than {MAX_PARAMETER_BYTES} bytes.")
    _check_parameters(Fields(settings))
    names = ("existing_cluster_id", "new_cluster", "job_cluster_key", "environment_key")
    compute = {name: given[name] for name in names if fields.has(name)}
    for name in compute:
        _check_cluster(fields.mapping(name)) if name == "new_cluster" else fields.text(name)
    for library in fields.items("libraries"):
        libraries.check(library)
    after = tuple(Fields(one).text("task_key") for one in _objects(fields, "depends_on"))
    condition = fields.text("run_if", "") or "ALL_SUCCESS"
    if condition not in task_order.CONDITIONS:
        raise invalid(f"run_if of task {key} must be one of: {', '.join(task_order.CONDITIONS)}.")
    retries = fields.number("max_retries", 0)
    pause = fields.number("min_retry_interval_millis", 0)
    if retries < -1 or pause < 0:
        raise invalid(f"max_retries of task {key} is at least -1, min_retry_interval_millis at least 0.")
    return Task(
        key, kinds[0], settings, after, compute, fields.items("libraries"),
        fields.number("timeout_seconds", 0), condition, retries, pause / 1000, given,
    )  # fmt: skip


def _check_cluster(attributes: dict[str, Any]) -> None:
    version = Fields(attributes).text("spark_version", "")
    if version:  # a policy may set it otherwise
        runtimes.check(version)


def _check_parameters(settings: Fields) -> None:
    for name in ("base_parameters", "named_parameters"):
        for key, value in settings.mapping(name).items():
            if not isinstance(value, str):
                raise invalid(f"Parameter {key[:100]!r} must be a string.")
    if not all(isinstance(value, str) for value in settings.items("parameters")):
        raise invalid("parameters must be strings.")


def _check_references(
    task: Task,
    tasks: tuple[Task, ...],
    clusters: Mapping[str, object],
    environments: Mapping[str, object],
) -> None:
    if len(task.compute) > 1:
        raise invalid(f"Task {task.key} names more than one of: {', '.join(task.compute)}.")
    for name in task.after:
        if name not in {other.key for other in tasks}:
            raise invalid(f"Task {task.key} depends on task {name[:100]}, which does not exist.")
    for kind, known in (("job_cluster_key", clusters), ("environment_key", environments)):
        if kind in task.compute and task.compute[kind] not in known:
            raise invalid(f"{kind} {task.compute[kind][:100]} of task {task.key} is not defined.")
    if not task.compute and task.kind != "notebook_task":
        raise invalid(f"An environment is required for serverless task {task.key}: set environment_key.")


def _check_order(tasks: tuple[Task, ...]) -> None:
    ordered: set[str] = set()
    waiting = list(tasks)
    while waiting:
        ready = [task for task in waiting if ordered.issuperset(task.after)]
        if not ready:
            raise invalid("The tasks depend on each other in a circle.")
        ordered |= {task.key for task in ready}
        waiting = [task for task in waiting if task.key not in ordered]


def _git_source(fields: Fields) -> dict[str, Any]:
    if not fields.has("git_source"):
        return {}
    source = Fields(fields.mapping("git_source"))
    source.text("git_url")
    if not source.has("git_provider"):
        raise invalid(f"git_source.git_provider must be one of: {','.join(PROVIDERS)}")
    provider_named(source.text("git_provider"))
    given = [name for name in ("git_branch", "git_tag", "git_commit") if source.has(name)]
    if len(given) != 1:
        raise invalid("git_source needs exactly one of git_branch, git_tag and git_commit.")
    source.text(given[0])
    return fields.mapping("git_source")


def _objects(fields: Fields, name: str) -> list[dict[str, Any]]:
    found = fields.items(name)
    if not all(isinstance(one, dict) for one in found):
        raise invalid(f"{name} must be objects.")
    return found
