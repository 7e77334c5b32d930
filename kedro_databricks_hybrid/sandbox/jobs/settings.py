"""The settings of a job or a run as models, with the errors of the API."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from kedro_databricks_hybrid.sandbox.clusters import libraries
from kedro_databricks_hybrid.sandbox.core import runtimes
from kedro_databricks_hybrid.sandbox.core.bodies import Array, ArrayOf, Body, Flag, Integer, Required, parse
from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.jobs import control_flow, task_order
from kedro_databricks_hybrid.sandbox.jobs.runs import TaskFailedError
from kedro_databricks_hybrid.sandbox.repos.credentials import provider_named

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TASKS = 1000
MAX_PARAMETER_BYTES = 1024 * 1024
_MAX_KEY = 100
_MAX_CONCURRENCY = 100
_COMPUTE = ("existing_cluster_id", "new_cluster", "job_cluster_key", "environment_key")


def _with_runtime(cluster: dict[str, Any]) -> dict[str, Any]:
    if version := cluster.get("spark_version"):  # else a policy may set it
        runtimes.check(str(version))
    return cluster


def _of_strings(parameters: dict[str, Any]) -> dict[str, Any]:
    for key, value in parameters.items():
        if not isinstance(value, str):
            raise invalid(f"Parameter {key[:100]!r} must be a string.")
    return parameters


# As the API names the providers here: in its own order and in lower case.
_PROVIDERS = (
    "github,gitlab,bitbucketcloud,gitlabenterpriseedition,bitbucketserver,azuredevopsservices,"
    "githubenterprise,awscodecommit"
)

_NewCluster = Annotated[dict[str, Any], AfterValidator(_with_runtime)]
_Named = Annotated[dict[str, Any], AfterValidator(_of_strings), Field(default_factory=dict)]


class _Notebook(Body):
    notebook_path: Required
    base_parameters: _Named


class _Script(Body):
    python_file: Required
    parameters: ArrayOf[str]


class _Wheel(Body):
    package_name: Required
    entry_point: Required
    parameters: ArrayOf[str]
    named_parameters: _Named


class _Condition(Body):
    op: Required
    left: str
    right: str

    @model_validator(mode="after")
    def _check(self) -> _Condition:
        if self.op not in control_flow.COMPARISONS:
            raise invalid(f"op of a condition_task must be one of: {', '.join(control_flow.COMPARISONS)}.")
        return self


class _RunJob(Body):
    job_id: Integer
    job_parameters: _Named


class _ForEach(Body):
    inputs: Required
    concurrency: Integer = 1
    task: dict[str, Any]

    @model_validator(mode="after")
    def _check(self) -> _ForEach:
        if not 1 <= self.concurrency <= _MAX_CONCURRENCY:
            raise invalid(f"concurrency of a for_each_task must be between 1 and {_MAX_CONCURRENCY}.")
        if self.task.get("for_each_task") is not None:
            raise invalid("The task of a for_each_task cannot be a for_each_task.")
        if "{{" not in self.inputs:
            try:
                control_flow.inputs_of({"inputs": self.inputs})
            except TaskFailedError as error:
                raise invalid(str(error)) from error
        return self


PROGRAMS: dict[str, type[Body]] = {
    "notebook_task": _Notebook,
    "spark_python_task": _Script,
    "python_wheel_task": _Wheel,
}
"""The kinds of task that are a Python program."""

_CHECKED: dict[str, type[Body]] = {
    **PROGRAMS,
    "condition_task": _Condition,
    "run_job_task": _RunJob,
    "for_each_task": _ForEach,
}
KINDS = (
    *_CHECKED,
    # What the sandbox has no program for: such a task can be saved, and fails when it is run.
    *("ai_runtime_task", "alert_task", "clean_rooms_notebook_task", "dashboard_task", "dbt_cloud_task"),
    *("dbt_platform_task", "dbt_task", "gen_ai_compute_task", "pipeline_task", "power_bi_task"),
    *("python_operator_task", "spark_jar_task", "spark_submit_task", "sql_task"),
)
"""Every kind of task of the API."""


class Dependency(Body):
    """A task that must have ended before another one starts, as one of its outcomes if it is a condition."""

    task_key: Required
    outcome: str = ""

    def check(self, key: str, kinds: Mapping[str, str]) -> None:
        """Refuse a dependency of a task on a missing one, or on an outcome that it cannot have."""
        if self.task_key not in kinds:
            raise invalid(f"Task {key} depends on task {self.task_key[:100]}, which does not exist.")
        if self.outcome not in {"", "true", "false"}:
            raise invalid(f"outcome of a dependency of task {key} must be true or false.")
        if self.outcome and kinds[self.task_key] != "condition_task":
            raise invalid(f"Task {self.task_key} has no outcome: it is not a condition_task.")


class Task(Body):
    """One task of a job."""

    key: Annotated[Required, Field(alias="task_key")]
    work: dict[str, dict[str, Any]]
    existing_cluster_id: Required | None = None
    new_cluster: _NewCluster | None = None
    job_cluster_key: Required | None = None
    environment_key: Required | None = None
    libraries: Array
    depends_on: ArrayOf[Dependency]
    run_if: str = ""
    timeout_seconds: Integer = 0
    max_retries: Integer = 0
    min_retry_interval_millis: Integer = 0
    retry_on_timeout: Flag = False

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return next(iter(self.work))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its kind, as given."""
        return dict(self.work[self.kind])

    @property
    def nested(self) -> Task | None:
        """The task that a `for_each_task` repeats, None for other kinds."""
        return parse(Task, self.settings["task"]) if self.kind == "for_each_task" else None

    @property
    def after(self) -> tuple[str, ...]:
        """The keys of the tasks that it depends on."""
        return tuple(one.task_key for one in self.depends_on)

    @model_validator(mode="before")
    @classmethod
    def _with_work(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {**values, "work": {kind: values[kind] for kind in KINDS if values.get(kind) is not None}}

    @model_validator(mode="after")
    def _check(self) -> Task:
        if len(self.key) > _MAX_KEY:
            raise invalid(f"task_key is longer than {_MAX_KEY} characters.")
        if len(self.work) != 1:
            raise invalid(f"Task {self.key} must be exactly one of: {', '.join(KINDS)}.")
        parse(_CHECKED.get(self.kind, Body), self.settings)
        _ = self.nested
        if len(str(self.settings).encode(errors="replace")) > MAX_PARAMETER_BYTES:
            raise invalid(f"The parameters of task {self.key} are larger than {MAX_PARAMETER_BYTES} bytes.")
        for library in self.libraries:
            libraries.check(library)
        if self.run_if not in {"", *task_order.CONDITIONS}:
            raise invalid(f"run_if of task {self.key} must be one of: {', '.join(task_order.CONDITIONS)}.")
        if self.max_retries < -1 or self.min_retry_interval_millis < 0:
            raise invalid(
                f"max_retries of task {self.key} is at least -1, min_retry_interval_millis at least 0."
            )
        compute = [name for name in _COMPUTE if getattr(self, name) is not None]
        if len(compute) > 1:
            raise invalid(f"Task {self.key} names more than one of: {', '.join(compute)}.")
        if not compute and self.kind in {"spark_python_task", "python_wheel_task"}:
            raise invalid(f"An environment is required for serverless task {self.key}: set environment_key.")
        return self


class _JobCluster(Body):
    job_cluster_key: Required
    new_cluster: Annotated[_NewCluster, Field(default_factory=dict)]


class Spec(Body):
    """What a serverless environment consists of."""

    environment_version: str = ""
    client: str = ""
    dependencies: list[str] = Field(default_factory=list)


class _Environment(Body):
    environment_key: Required
    spec: Spec = Spec()


class GitSource(Body):
    """The repository with the files of a run."""

    git_url: Required
    git_provider: str = ""
    git_branch: Required | None = None
    git_tag: Required | None = None
    git_commit: Required | None = None

    @property
    def ref(self) -> str:
        """The branch, tag or commit to check out, in a clone."""
        if self.git_branch:
            return f"refs/remotes/origin/{self.git_branch}"
        return f"refs/tags/{self.git_tag}" if self.git_tag else str(self.git_commit)

    @model_validator(mode="after")
    def _check(self) -> GitSource:
        if not self.git_provider:
            raise invalid(f"git_source.git_provider must be one of: {_PROVIDERS}")
        provider_named(self.git_provider)
        if [self.git_branch, self.git_tag, self.git_commit].count(None) != 2:
            raise invalid("git_source needs exactly one of git_branch, git_tag and git_commit.")
        return self


class Settings(Body):
    """The settings that a job and a one-time run share."""

    job_clusters: ArrayOf[_JobCluster]
    environments: ArrayOf[_Environment]
    tasks: ArrayOf[Task]
    git_source: GitSource | None = None
    timeout_seconds: Integer = 0

    @property
    def clusters(self) -> dict[str, dict[str, Any]]:
        """The attributes of its job clusters by their keys."""
        return {one.job_cluster_key: one.new_cluster for one in self.job_clusters}

    @property
    def specs(self) -> dict[str, Spec]:
        """Its serverless environments by their keys."""
        return {one.environment_key: one.spec for one in self.environments}

    @property
    def makes_clusters(self) -> bool:
        """Whether its runs create job clusters."""
        return bool(self.job_clusters) or any(task.new_cluster is not None for task in self.all_tasks)

    @property
    def all_tasks(self) -> list[Task]:
        """Its tasks, and those that they repeat."""
        return [one for task in self.tasks for one in (task, task.nested) if one is not None]

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if len(self.tasks) > MAX_TASKS:
            raise invalid(f"A job has at most {MAX_TASKS} tasks.")
        kinds = {task.key: task.kind for task in self.tasks}
        if len(kinds) < len(self.tasks):
            raise invalid("Task keys must be unique.")
        for task in self.tasks:
            for before in task.depends_on:
                before.check(task.key, kinds)
        for task in self.all_tasks:
            for kind, known in (("job_cluster_key", self.clusters), ("environment_key", self.specs)):
                key = getattr(task, kind)
                if key is not None and key not in known:
                    raise invalid(f"{kind} {key[:100]} of task {task.key} is not defined.")
        try:
            TopologicalSorter({task.key: task.after for task in self.tasks}).prepare()
        except CycleError as error:
            raise invalid("The tasks depend on each other in a circle.") from error
        return self


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings of a run.

    Raises:
        ApiError: 400, with the message of the API where it is known.
    """
    settings = parse(Settings, given)
    if not settings.tasks:
        raise invalid(
            "One of job_cluster_key, new_cluster, or existing_cluster_id and a task must be specified."
        )
    return settings
