"""What a project's notebook does when a job runs it: what the job's parameters ask for, with a run log.

A job gets its driver program in one of two ways. `kedro databricks run --job` brings its own, in a notebook
that it writes (`run/job.py`), so that client and driver are never of different versions and the
project need not have this package. A job that is deployed, and a run at an exact commit (`git_source`), run
the notebook that the project's repository holds, long after any client is gone: there the package is among
the project's requirements, and this module takes the driver from it. By hand that notebook has no parameters,
and this module does nothing.

Works on the cluster: it imports the standard library, and Kedro and IPython where they are needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro_databricks_hybrid.run.request import (
    ENV,
    JOB_RUN,
    PARAMETERS,
    PIPELINES,
    REQUEST,
    RUN_ID,
    new_run_id,
)

_LOGS = ".kedro-hybrid/runs"


class PipelineFailedError(Exception):
    """The pipeline did not complete, so the job's task has failed."""


def ran_as_job() -> bool:
    """Run what a job asks for; without a job, do nothing.

    Returns:
        Whether it was a job.

    Raises:
        PipelineFailedError: The pipeline failed; its log says how.
    """
    text = _parameter(REQUEST)
    if not text:
        return False
    from kedro_databricks_hybrid.run import driver

    request = complete(json.loads(text), Path.cwd())
    driver.main(request)
    raise_for(request)
    return True


def complete(request: dict[str, Any], notebook_folder: Path) -> dict[str, Any]:
    """Return a request with what is known only when the job runs: its place, its name, changed parameters.

    Args:
        request: As the job's parameter has it; its project path is relative to the notebook's folder.
        notebook_folder: The folder of the notebook.
    """
    run_id = _parameter(RUN_ID) or request["facts"].get("run_id") or new_run_id()
    facts = {**request["facts"], "run_id": run_id}
    if (job_run := _parameter(JOB_RUN)).isdigit():
        facts["job_run_id"] = job_run
    options, run = dict(request["options"]), dict(request["run"])
    if env := _parameter(ENV):
        options["env"] = facts["env"] = env
    if pipelines := _parameter(PIPELINES):
        run["pipeline_names"] = [name.strip() for name in pipelines.split(",")]
    if parameters := _parameter(PARAMETERS):
        options["params"] = _parsed(parameters)
    return {
        **request,
        "project_path": str((notebook_folder / request["project_path"]).resolve()),
        "log_folder": f"{request['data_root']}/{_LOGS}/{run_id}",
        "facts": facts,
        "options": options,
        "run": run,
    }


def raise_for(request: dict[str, Any]) -> None:
    """Let the job's task fail where the run log's end is no success.

    Raises:
        PipelineFailedError: It is so.
    """
    end = json.loads(Path(request["log_folder"], "end.json").read_text("utf-8"))
    if end["outcome"] != "completed":
        raise PipelineFailedError(end.get("error") or end["outcome"])


def _parsed(parameters: str) -> dict[str, Any]:
    """Read parameters as `kedro run --params` does."""
    from kedro.framework.cli import utils

    nothing: Any = None  # the click context, which is not looked at
    found: dict[str, Any] = utils._split_params(nothing, nothing, parameters)  # noqa: SLF001 - its only parser
    return found


def _parameter(name: str) -> str:
    """Return a parameter of the notebook, empty where it has none."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    try:
        return str(shell.user_ns["dbutils"].widgets.get(name))
    except Exception:  # noqa: BLE001 - the error of a missing widget is not documented
        return ""
