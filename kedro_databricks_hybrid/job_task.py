"""Run the pipeline that a job's parameters describe, from the project's notebook, with a run log.

A job gets the driver program in one of two ways. `kedro databricks run --job` writes a notebook that contains
it (`run/job.py`), so client and driver always have the same version, and the project need not install this
package. A deployed job, and a run at a commit (`git_source`), use the notebook in the project's repository,
with no client involved: there the project's requirements include this package, and this module runs its
driver. Without a job the notebook has no parameters, and this module does nothing.

It runs on the cluster, and imports only the standard library, Kedro and IPython.
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
    """The pipeline did not complete, so the job's task fails."""


def ran_as_job() -> bool:
    """Run the pipeline if the notebook runs in a job, else do nothing.

    Returns:
        Whether the notebook runs in a job.

    Raises:
        PipelineFailedError: The pipeline failed; the run log has the details.
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
    """Return a request completed with the project's path, the run's id and the job's parameters.

    Args:
        request: The request in the job's parameter; its project path is relative to the notebook's folder.
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
    code_folder = request.get("code_folder") or request["project_path"]  # jobs of earlier versions lack it
    return {
        **request,
        "project_path": str((notebook_folder / request["project_path"]).resolve()),
        "code_folder": str((notebook_folder / code_folder).resolve()),
        "log_folder": f"{request['data_root']}/{_LOGS}/{run_id}",
        "facts": facts,
        "options": options,
        "run": run,
    }


def raise_for(request: dict[str, Any]) -> None:
    """Make the job's task fail if the pipeline did not complete.

    Raises:
        PipelineFailedError: The end record of the run log has another outcome.
    """
    end = json.loads(Path(request["log_folder"], "end.json").read_text("utf-8"))
    if end["outcome"] != "completed":
        raise PipelineFailedError(end.get("error") or end["outcome"])


def _parsed(parameters: str) -> dict[str, Any]:
    """Parse parameters as `kedro run --params` does."""
    from kedro.framework.cli import utils

    unused: Any = None  # click's context and parameter
    parsed: dict[str, Any] = utils._split_params(unused, unused, parameters)  # noqa: SLF001 - Kedro's parser
    return parsed


def _parameter(name: str) -> str:
    """Return a parameter of the notebook, empty if it does not exist."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    try:
        return str(shell.user_ns["dbutils"].widgets.get(name))
    except Exception:  # noqa: BLE001 - the error of a missing widget is not documented
        return ""
