"""Create or update a project's job: its wanted settings, how the existing job differs, and the update.

A job is identified by its name and a tag with the project's name; a job of that name without the tag is not
touched. Only the fields that `deploy` sets are compared and changed, so notifications, permissions and tasks
that users add stay, and a paused schedule stays paused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.run.job import API, JobWork
from kedro_databricks_hybrid.run.request import ENV, JOB_RUN, PARAMETERS, PIPELINES, REQUEST, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.run.request import RunRequest

TAG = "kedro-databricks-hybrid"
"""The tag whose value is the name of the project that the job belongs to."""

_DIGEST = f"{TAG}-settings"
_MANAGED = ("name", "tags", "max_concurrent_runs", "schedule", "git_source", "environments", "tasks")
_PAGE = 25


@dataclass(frozen=True)
class Plan:
    """The changes that a job needs.

    Args:
        job_id: The existing job; None if it has to be created.
        wanted: The job's wanted settings.
        changes: The names of the settings that differ.
        removals: The names of the settings to remove.
    """

    job_id: int | None
    wanted: dict[str, Any]
    changes: list[str]
    removals: list[str]

    @property
    def is_done(self) -> bool:
        """Whether the job exists and has the wanted settings."""
        return self.job_id is not None and not self.changes and not self.removals


def parameters(request: RunRequest, *, env: str | None, pipelines: str, params: str) -> dict[str, str]:
    """Return the parameters of the job's notebook; users may change env, pipelines and params for one run."""
    plain = {ENV: env or "", PIPELINES: pipelines, PARAMETERS: params}
    return {**plain, RUN_ID: "", JOB_RUN: "{{job.run_id}}", REQUEST: request.as_parameter()}


def settings(
    name: str,
    project: str,
    what_runs: Mapping[str, Any],
    *,
    schedule: Mapping[str, str] | None,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Return a job's settings in the form of the jobs API. Pure.

    Args:
        name: The job's name.
        project: The project's name, for the tag.
        what_runs: Its tasks, environments and Git source, from `run/job.py`.
        schedule: The schedule without its pause status.
        tags: Further tags.
    """
    found: dict[str, Any] = {"name": name, "max_concurrent_runs": 1, **what_runs}
    if schedule:
        found["schedule"] = {**schedule, "pause_status": "UNPAUSED"}
    digest = hashlib.sha256(json.dumps({**found, "tags": dict(tags)}, sort_keys=True).encode()).hexdigest()
    found["tags"] = {**tags, TAG: project, _DIGEST: digest[:12]}
    return found


def plan(workspace: Workspace, wanted: dict[str, Any], *, force: bool) -> Plan:
    """Compare the existing job with the wanted settings.

    Raises:
        WorkspaceError: A job of that name belongs to another project or user, or there are several.
    """
    name, project = wanted["name"], wanted["tags"][TAG]
    found = _named(workspace, name)
    numbers = ", ".join(str(job["job_id"]) for job in found)
    if len(found) > 1:
        raise WorkspaceError(
            f"There are {len(found)} jobs called {name!r} ({numbers}).",
            hint="Delete all but one, or choose another name with --name.",
        )
    if not found:
        return Plan(None, wanted, sorted(wanted), [])
    owner = found[0].get("settings", {}).get("tags", {}).get(TAG)
    if owner != project and not force:
        whose = f"the project {owner} created" if owner else "`kedro databricks deploy` did not create"
        raise WorkspaceError(
            f"A job called {name!r} already exists ({numbers}), which {whose}.",
            hint="Choose another name with --name, or take it over with --force.",
        )
    current = _settings_of(workspace, int(found[0]["job_id"]))
    return compare(int(found[0]["job_id"]), current, wanted)


def compare(job_id: int, current: Mapping[str, Any], wanted: dict[str, Any]) -> Plan:
    """Return how a job differs from its wanted settings; ignore what users added. Pure."""
    pause = current.get("schedule", {}).get("pause_status")
    if pause and "schedule" in wanted:
        wanted = {**wanted, "schedule": {**wanted["schedule"], "pause_status": pause}}
    changes = [name for name in wanted if not _holds(current.get(name), wanted[name])]
    removals = [name for name in _MANAGED if name in current and name not in wanted]
    return Plan(job_id, wanted, changes, removals)


def perform(workspace: Workspace, planned: Plan) -> int:
    """Create or update the job, read it back, and return its id.

    Raises:
        WorkspaceError: Databricks refused, or the job has other settings afterwards.
    """
    name = planned.wanted["name"]
    if planned.job_id is None:
        with translated(f"create the job {name!r}"):
            job_id = int(_post(workspace, "create", planned.wanted)["job_id"])
        _remove_twins(workspace, name, job_id)
    else:
        job_id = planned.job_id
        new = {field: planned.wanted[field] for field in planned.changes}
        body = {"job_id": job_id, "new_settings": new, "fields_to_remove": planned.removals}
        with translated(f"update the job {name!r}"):
            _post(workspace, "update", body)
    left = compare(job_id, _settings_of(workspace, job_id), planned.wanted)
    if not left.is_done:
        raise WorkspaceError(
            f"Databricks accepted the job {name!r} ({job_id}), but returns another "
            f"{', '.join(left.changes + left.removals)}.",
            hint="Run the command again.",
        )
    return job_id


def run_now(workspace: Workspace, job_id: int, run_id: str, say: Callable[[str], None]) -> JobWork:
    """Start the job with a run id; a repeated request with the same id does not start a second run."""
    body = {"job_id": job_id, "idempotency_token": run_id, "notebook_params": {RUN_ID: run_id}}
    with translated(f"start the job {job_id}"):
        answer = _post(workspace, "run-now", body)
    return JobWork(workspace, int(answer["run_id"]), say)


def _named(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """Return the jobs of exactly this name; the API ignores case."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"name": name, "limit": _PAGE}
    with translated(f"look for the job {name!r}"):
        while True:
            answer: Any = workspace.client.api_client.do("GET", f"{API}/list", query=query)
            found += answer.get("jobs", [])
            if not answer.get("next_page_token"):
                return [job for job in found if job.get("settings", {}).get("name") == name]
            query["page_token"] = answer["next_page_token"]


def _settings_of(workspace: Workspace, job_id: int) -> dict[str, Any]:
    with translated(f"read the job {job_id}"):
        answer: Any = workspace.client.api_client.do("GET", f"{API}/get", query={"job_id": job_id})
    return dict(answer["settings"])


def _remove_twins(workspace: Workspace, name: str, job_id: int) -> None:
    """Delete duplicates that a retried request created: creating jobs has no idempotency token."""
    for job in _named(workspace, name):
        if int(job["job_id"]) != job_id and TAG in job.get("settings", {}).get("tags", {}):
            with translated(f"delete the duplicate job {job['job_id']}"):
                _post(workspace, "delete", {"job_id": job["job_id"]})


def _post(workspace: Workspace, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer: Any = workspace.client.api_client.do("POST", f"{API}/{name}", body=dict(body))
    return dict(answer)


def _holds(there: object, wanted: object) -> bool:
    """Tell whether a value contains what is wanted; ignore what the API or users add."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_holds(there.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(there, list):
        return all(any(_holds(each, one) for each in there) for one in wanted)
    return there == wanted
