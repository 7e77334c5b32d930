"""Compare an existing job with the wanted settings."""

from __future__ import annotations

import copy
from typing import Any

from kedro_databricks_hybrid.run import deploy

TASKS = {"tasks": [{"task_key": "kedro", "notebook_task": {"base_parameters": {"env": "prod"}}}]}


def wanted(**changes: Any) -> dict[str, Any]:
    """Return a job's settings, changed by what is given."""
    given = {"schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "UTC"}, "tags": {"a": "b"}}
    return deploy.settings("shop", "tiny-shop", TASKS, **{**given, **changes})


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as Databricks shows them: with defaults, and with what people add by hand."""
    there = copy.deepcopy(settings)
    there["tasks"][0] |= {"run_if": "ALL_SUCCESS", "timeout_seconds": 0}
    there["tasks"].append({"task_key": "mail", "depends_on": [{"task_key": "kedro"}]})
    return {**there, "email_notifications": {"on_failure": ["me@example.com"]}, "format": "MULTI_TASK"}


def test_a_job_as_it_should_be() -> None:
    """Defaults of the API and additions by hand are no difference."""
    assert deploy.compare(1, shown(wanted()), wanted()).is_done


def test_what_differs_is_named() -> None:
    """A setting that changed here, or there, is to be set again; the tag's digest tells of removed keys."""
    there = shown(wanted())
    there["tasks"][0]["notebook_task"]["base_parameters"]["env"] = "dev"
    assert deploy.compare(1, there, wanted()).changes == ["tasks"]
    assert sorted(deploy.compare(1, shown(wanted()), wanted(tags={})).changes) == ["tags"]


def test_a_schedule_that_is_gone_is_removed() -> None:
    """Only settings that we set are ever removed."""
    planned = deploy.compare(1, shown(wanted()), wanted(schedule=None))
    assert planned.removals == ["schedule"]
    assert planned.changes == ["tags"]


def test_a_paused_schedule_stays_paused() -> None:
    """Somebody had a reason, and another cron expression is none to overrule it."""
    there = shown(wanted())
    there["schedule"]["pause_status"] = "PAUSED"
    assert deploy.compare(1, there, wanted()).is_done
    noon = {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC"}
    planned = deploy.compare(1, there, wanted(schedule=noon))
    assert planned.wanted["schedule"] == {**noon, "pause_status": "PAUSED"}
