"""Compare an existing job with the wanted settings."""

from __future__ import annotations

import copy
from typing import Any

from kedro_databricks_hybrid.run import deploy

TASKS = {"tasks": [{"task_key": "kedro", "notebook_task": {"base_parameters": {"env": "prod"}}}]}


def wanted(**changes: Any) -> dict[str, Any]:
    """Return a job's wanted settings, with some replaced."""
    given = {"schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC"}, "tags": {"a": "b"}}
    return deploy.settings("shop", "tiny-shop", TASKS, **{**given, **changes})


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as Databricks returns them: with the API's defaults and with changes by users."""
    there = copy.deepcopy(settings)
    there["tasks"][0] |= {"run_if": "ALL_SUCCESS", "timeout_seconds": 0}
    there["tasks"].append({"task_key": "mail", "depends_on": [{"task_key": "kedro"}]})
    return {**there, "email_notifications": {"on_failure": ["me@example.com"]}, "format": "MULTI_TASK"}


def test_a_job_as_it_should_be() -> None:
    """Defaults of the API, and tasks and notifications that users added, do not count as differences."""
    assert deploy.compare(1, shown(wanted()), wanted()).is_done


def test_what_differs_is_named() -> None:
    """A parameter that was changed on Databricks, and a tag that was removed locally, are both changes."""
    there = shown(wanted())
    there["tasks"][0]["notebook_task"]["base_parameters"]["env"] = "dev"
    assert deploy.compare(1, there, wanted()).changes == ["tasks"]
    assert sorted(deploy.compare(1, shown(wanted()), wanted(tags={})).changes) == ["tags"]


def test_a_schedule_that_is_gone_is_removed() -> None:
    """A schedule that is no longer wanted is removed from the job; other settings of the job stay."""
    planned = deploy.compare(1, shown(wanted()), wanted(schedule=None))
    assert planned.removals == ["schedule"]
    assert planned.changes == ["tags"]


def test_a_paused_schedule_stays_paused() -> None:
    """A schedule that a user paused stays paused, also when its cron expression changes."""
    there = shown(wanted())
    there["schedule"]["pause_status"] = "PAUSED"
    assert deploy.compare(1, there, wanted()).is_done
    noon = {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC"}
    planned = deploy.compare(1, there, wanted(schedule=noon))
    assert planned.wanted["schedule"] == {**noon, "pause_status": "PAUSED"}
