"""What a run is asked to do: `kedro run`'s own options, and where the driver finds project and log. Pure."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.run.log import RUNS_FOLDER

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_DRIVER = "kedro_databricks_hybrid/run/driver.py"
# As a module of its own by Python's own machinery. The sandbox starts Spark for a cell that executes text, as
# that text may use it; the driver does not, and leaves Spark to the pipelines that want it.
_LOADING = """\
import importlib.abc, importlib.util
class _Driver(importlib.abc.ExecutionLoader):
    def get_source(self, name):
        return {source!r}
    def get_filename(self, name):
        return {file!r}
_spec = importlib.util.spec_from_loader("kedro_databricks_driver", _Driver())
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
_driver = _module.__dict__
"""
# Options of `kedro run` that are no arguments of `session.run`, by the names that Kedro's command gives them.
_NOT_FOR_RUN = {"env", "conf_source", "params", "runner", "runner_params", "is_async", "config"}
# Kedro's telemetry must neither ask nor write into the Git folder.
_ENVIRONMENT = {"DO_NOT_TRACK": "1", "KEDRO_DISABLE_TELEMETRY": "1"}
REQUEST = "kedro_request"
"""The parameter that holds the request, as JSON."""
RUN_ID = "kedro_run_id"
"""The parameter that names the run, empty for one that nobody waits for."""
JOB_RUN = "kedro_job_run"
"""The parameter in which Databricks tells the id of the job's run."""
ENV, PIPELINES, PARAMETERS = "env", "pipelines", "params"
"""Parameters that a person may change when starting a deployed job: as the options of `kedro run`."""


@dataclass(frozen=True)
class RunRequest:
    """One run of one project.

    Args:
        run_id: Names the run and its log.
        project_path: The Kedro project's folder, as the cluster sees it.
        package_name: The project's Python package.
        data_root: The data root as the cluster's file system has it.
        options: `kedro run`'s options as Kedro's own parsers return them.
        user: Who runs it.
        facts: What else its first record shall tell, such as commit, branch and cluster.
    """

    run_id: str
    project_path: PurePosixPath
    package_name: str
    data_root: PurePosixPath
    options: dict[str, Any]
    user: str
    facts: dict[str, str | None]

    @property
    def log(self) -> PurePosixPath:
        """The run log's folder, relative to the data root."""
        return RUNS_FOLDER / self.run_id

    @property
    def all_facts(self) -> dict[str, str | None]:
        """What identifies the run, beside its options."""
        return {"run_id": self.run_id, "user": self.user, **self.facts}

    def as_command(self) -> str:
        """Return the Python text that performs this run when a cluster executes it."""
        request = json.dumps(self._for_driver(), default=str)
        return f"{driver_text()}_driver['main'](__import__('json').loads({request!r}))\n"

    def as_parameter(self) -> str:
        """Return what a job's notebook takes as its parameter: JSON without the braces that jobs fill in."""
        return json.dumps(self._for_driver(), default=str).replace("{{", "{\\u007b")

    def _for_driver(self) -> dict[str, Any]:
        options = {name: value for name, value in self.options.items() if name in _NOT_FOR_RUN}
        return {
            "project_path": str(self.project_path),
            "package_name": self.package_name,
            "data_root": str(self.data_root),
            "log_folder": str(self.data_root / self.log),
            "facts": self.all_facts,
            "environment": {
                **_ENVIRONMENT,
                "KEDRO_DATABRICKS_USER": self.user,
                "KEDRO_DATABRICKS_BRANCH": self.facts.get("branch") or "",
            },
            "options": {"env": None, "conf_source": None, "params": {}, **options},
            "run": _run_arguments(self.options),
        }


def driver_text() -> str:
    """Return the Python text that loads the driver program, of this very version, as `_driver`."""
    source = resources.files("kedro_databricks_hybrid.run").joinpath("driver.py").read_text("utf-8")
    return _LOADING.format(source=source, file=_DRIVER)


def _run_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `session.run`; `--pipeline` is the old spelling of `--pipelines`."""
    arguments = {name: value for name, value in options.items() if name not in _NOT_FOR_RUN}
    one, several = arguments.pop("pipeline", None), arguments.pop("pipelines", None)
    arguments["pipeline_names"] = list(dict.fromkeys(several or ([one] if one else [])))
    return arguments


def new_run_id() -> str:
    """Return a name for a run; names sort by the time of the start."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
