"""Saved jobs: their settings as the API keeps and shows them."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from kedro_databricks_hybrid.sandbox.core.bodies import Array, Body, Flag, Integer, Object, Required, parse
from kedro_databricks_hybrid.sandbox.core.errors import denied, invalid
from kedro_databricks_hybrid.sandbox.core.guesses import JOB_ROLES
from kedro_databricks_hybrid.sandbox.core.permissions import (
    JOB,
    MANAGE,
    OWNER,
    Permission,
    Secured,
    of_admins,
)
from kedro_databricks_hybrid.sandbox.core.permissions import merged as merged_entries
from kedro_databricks_hybrid.sandbox.core.stamps import new_id, now
from kedro_databricks_hybrid.sandbox.core.store import passing, stored
from kedro_databricks_hybrid.sandbox.jobs.parameters import checked_parameters
from kedro_databricks_hybrid.sandbox.jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kedro_databricks_hybrid.sandbox.core.errors import ApiError
    from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
    from kedro_databricks_hybrid.sandbox.core.principals import Principals
    from kedro_databricks_hybrid.sandbox.core.store import Store

KEYED_ARRAYS = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "environments": "environment_key",
    "parameters": "name",
}
"""The arrays of a job's settings, and the field that identifies an entry."""

_SETTING_DEFAULTS: dict[str, Any] = {
    "email_notifications": {},
    "webhook_notifications": {},
    "timeout_seconds": 0,
    "max_concurrent_runs": 1,
    "format": "MULTI_TASK",
}
_TASK_DEFAULTS: dict[str, Any] = {"run_if": "ALL_SUCCESS", "timeout_seconds": 0, "email_notifications": {}}

_DOCUMENT = "jobs"
DEFAULT_NAME = "Untitled"
_MAX_TAGS = 25
_NEEDED = dict(zip(("CAN_VIEW", "CAN_MANAGE_RUN", MANAGE), JOB_ROLES, strict=True))
_QUARTZ_FIELDS = {6, 7}

Job = dict[str, Any]


def _checked_tags(tags: dict[str, Any]) -> dict[str, Any]:
    if len(tags) > _MAX_TAGS:
        raise invalid(f"A job has at most {_MAX_TAGS} tags.")
    if not all(isinstance(value, str) for value in tags.values()):
        raise invalid("tags must be strings.")
    return tags


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


class _Schedule(Body):
    quartz_cron_expression: Required
    timezone_id: Required
    pause_status: str = "UNPAUSED"

    @model_validator(mode="after")
    def _check(self) -> _Schedule:
        if len(self.quartz_cron_expression.split()) not in _QUARTZ_FIELDS:
            raise invalid(f"Invalid quartz_cron_expression: {self.quartz_cron_expression[:100]!r}.")
        if _is_zone("UTC") and not _is_zone(self.timezone_id):
            raise invalid(f"Invalid timezone_id: {self.timezone_id[:100]!r}.")
        if self.pause_status not in {"PAUSED", "UNPAUSED"}:
            raise invalid("pause_status must be PAUSED or UNPAUSED.")
        return self


class JobSettings(Settings):
    """The settings of a saved job, which may have no tasks."""

    name: str = ""
    max_concurrent_runs: Integer = 1
    email_notifications: Object
    webhook_notifications: Object
    notification_settings: Object
    health: Object
    queue: dict[str, Flag | None] = Field(default_factory=dict)
    tags: Annotated[Object, AfterValidator(_checked_tags)]
    parameters: Annotated[Array, AfterValidator(checked_parameters)]
    schedule: _Schedule | None = None
    trigger: Any = None
    continuous: Any = None
    run_as: dict[str, str | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_job(self) -> JobSettings:
        if self.max_concurrent_runs < 0:
            raise invalid("max_concurrent_runs must not be negative.")
        triggers = [name for name in ("schedule", "trigger", "continuous") if getattr(self, name) is not None]
        if len(triggers) > 1:
            raise invalid(f"A job has one of schedule, trigger and continuous, not {' and '.join(triggers)}.")
        return self


def _named(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "name": parse(JobSettings, settings).name or DEFAULT_NAME}


@stored
@dataclass
class _Saved:
    job_id: int
    creator_user_name: str
    created_time: int
    settings: Annotated[dict[str, Any], passing(_named)]


class Jobs:
    """Every job of the workspace."""

    def __init__(self, store: Store, permissions: Permissions, principals: Principals) -> None:
        self._store = store
        self._permissions = permissions
        self._principals = principals
        saved = store.load(_DOCUMENT, dict[str, _Saved])
        self._jobs: dict[str, Job] = {key: dict(vars(job)) for key, job in saved.items()}

    async def create(self, user: str, settings: dict[str, Any], access: Sequence[dict[str, Any]] = ()) -> int:
        """Save a new job with its access control list, and return its id."""
        job_id = new_id()
        entries = self._principals.entries(JOB, access)
        self._jobs[str(job_id)] = {
            "job_id": job_id,
            "creator_user_name": user,
            "created_time": now(),
            "settings": settings,
        }
        await self.save()
        await self.add_permissions(job_id, user, entries)
        return job_id

    async def add_permissions(self, job_id: int, owner: str, entries: Sequence[Permission]) -> None:
        """Add entries to those that the owner of a new job or run has."""
        if entries:
            initial = [self._principals.entry(owner, OWNER)]
            await self._permissions.put(key_of(job_id), merged_entries(initial, entries))

    async def remove(self, job: Job) -> None:
        """Delete a job."""
        self._jobs.pop(str(job["job_id"]), None)
        await self.save()
        await self._permissions.forget(key_of(job["job_id"]))

    def of(self, user: str) -> list[Job]:
        """Return the jobs that a user may view, newest first."""
        return [job for job in reversed(self._jobs.values()) if self._may(user, job, "CAN_VIEW")]

    def get(self, user: str, job_id: int, level: str = "CAN_VIEW") -> Job:
        """Return a job; refuse a missing one, and a user without a permission level on it."""
        job = self._jobs.get(str(job_id))
        if job is None:
            raise invalid(f"Job {job_id} does not exist.")
        if not self._may(user, job, level):
            raise refusal_of(user, job_id, level)
        return job

    def owner_of(self, job: Job) -> str:
        """Return the owner of a job, who runs it."""
        entries = self._permissions.of(key_of(job["job_id"]), self._initial(job))
        return next((one.name for one in entries if one.level == OWNER), str(job["creator_user_name"]))

    def secured(self, job_id: str) -> Secured:
        """Return a job as an object with permissions; refuse a missing one."""
        job = self._jobs.get(job_id)
        if job is None:
            raise invalid(f"Job {job_id[:100]} does not exist.")
        key = key_of(job["job_id"])
        return Secured(JOB, key, f"/{key}", self._initial(job), of_admins("jobs"))

    def allows(self, user: str, job_id: int, level: str) -> bool:
        """Whether a user has a permission level on a job, which may be that of a submitted run."""
        job = self._jobs.get(str(job_id))
        if job is not None:
            return self._may(user, job, level)
        return self._permissions.allow(user, JOB, level, self._permissions.of(key_of(job_id)))

    def _may(self, user: str, job: Job, level: str) -> bool:
        entries = self._permissions.of(key_of(job["job_id"]), self._initial(job))
        return self._permissions.allow(user, JOB, level, entries)

    def _initial(self, job: Job) -> tuple[Permission, ...]:
        return (self._principals.entry(job["creator_user_name"], OWNER),)

    def find(self, job_id: int) -> Job | None:
        """Return a job, None for a missing one."""
        return self._jobs.get(str(job_id))

    async def save(self) -> None:
        """Save every job."""
        await self._store.save(_DOCUMENT, self._jobs)


def key_of(job_id: int) -> str:
    """Return what the permissions of a job are kept by."""
    return f"jobs/{job_id}"


def refusal_of(user: str, job_id: int, level: str) -> ApiError:
    """Return the error for a user without a permission level on a job."""
    return denied(f"User {user} does not have {_NEEDED[level]} permissions on job {job_id}")


def describe(job: Job) -> dict[str, Any]:
    """Return a job as `jobs/get` shows it."""
    settings = {**_SETTING_DEFAULTS, **job["settings"]}
    source = "GIT" if settings.get("git_source") else "WORKSPACE"
    settings["tasks"] = [
        {**_TASK_DEFAULTS, **task, **_sorted_dependencies(task), **_with_source(task, source)}
        for task in settings.get("tasks") or []
    ]
    if not settings["tasks"]:
        del settings["tasks"]
    if settings.get("schedule"):
        settings["schedule"] = {"pause_status": "UNPAUSED", **settings["schedule"]}
    run_as = settings.get("run_as") or {}
    runs_as = run_as.get("user_name") or run_as.get("service_principal_name") or job["creator_user_name"]
    return {**job, "settings": settings, "run_as_user_name": runs_as}


def merged(settings: dict[str, Any], new: dict[str, Any], removed: list[Any]) -> dict[str, Any]:
    """Return a job's settings after a partial update.

    Args:
        settings: The settings before.
        new: Top-level fields to replace; in arrays, entries are replaced or added by their keys.
        removed: Names of top-level fields, or `tasks/KEY` and `job_clusters/KEY`.
    """
    kept = {name: value for name, value in settings.items() if name not in removed and value is not None}
    for name, key in KEYED_ARRAYS.items():
        keys = {str(path).partition("/")[2] for path in removed if str(path).startswith(f"{name}/")}
        if keys and name in kept:
            kept[name] = [one for one in kept[name] if one[key] not in keys]
    for name, value in new.items():
        entry_key = KEYED_ARRAYS.get(name)
        if entry_key and isinstance(value, list) and all(isinstance(one, dict) for one in value):
            entries = {one[entry_key]: one for one in kept.get(name, [])}
            kept[name] = list((entries | {str(one.get(entry_key)): one for one in value}).values())
        else:
            kept[name] = value
    return kept


def _with_source(task: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a task's notebook with where it comes from, as the API shows it."""
    notebook = task.get("notebook_task")
    return {"notebook_task": {"source": source, **notebook}} if notebook else {}


def _sorted_dependencies(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task's dependencies sorted by key, as the API shows them."""
    found = task.get("depends_on") or []
    return {"depends_on": sorted(found, key=lambda one: str(one["task_key"]))} if found else {}
