"""The request for a run: `kedro run`'s options and the paths of project and log for the driver. Pure."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from kedro_databricks_hybrid.errors import RunError
from kedro_databricks_hybrid.run.log import RUNS_FOLDER

_DRIVER = "kedro_databricks_hybrid/run/driver"
# Loads the driver's modules through importlib instead of exec: the sandbox starts Spark for a cell that
# executes text, as that text may use Spark. The driver does not use it and leaves that to the pipelines.
_LOADING = """\
import importlib, importlib.abc, importlib.util, sys
class _Driver(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    sources = {sources!r}
    def find_spec(self, name, path, target=None):
        if name in self.sources:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
    def get_source(self, name):
        return self.sources[name]
    def get_filename(self, name):
        return "{folder}/" + (name.partition(".")[2] or "__init__") + ".py"
    def is_package(self, name):
        return name == "{name}"
_finder = _Driver()
for _old in [_each for _each in sys.modules if _each.partition(".")[0] == "{name}"]:
    del sys.modules[_old]
sys.meta_path.insert(0, _finder)
try:
    _driver = importlib.import_module("{name}")
finally:
    sys.meta_path.remove(_finder)
"""
_DRIVER_NAME = "kedro_databricks_driver"
# Options of `kedro run` that `session.run` does not accept, by their names in Kedro's command.
_NOT_FOR_RUN = {"env", "conf_source", "params", "runner", "runner_params", "is_async", "config"}
# Kedro's telemetry must not prompt or write into the Git folder.
_ENVIRONMENT = {"DO_NOT_TRACK": "1", "KEDRO_DISABLE_TELEMETRY": "1"}
YAML = "$yaml"
"""The only key of a mapping that stands for a value that JSON cannot hold: its text in YAML."""
REQUEST = "kedro_request"
"""The parameter that holds the request, as JSON."""
RUN_ID = "kedro_run_id"
"""The parameter with the run's id; empty for scheduled runs, which choose their own."""
JOB_RUN = "kedro_job_run"
"""The parameter that Databricks fills with the id of the job run."""
ENV, PIPELINES, PARAMETERS = "env", "pipelines", "params"
"""Parameters that a user may change when starting a deployed job; same values as `kedro run`'s options."""


@dataclass(frozen=True)
class RunRequest:
    """One run of one project.

    Args:
        run_id: The id of the run, also the name of its log folder.
        project_path: The Kedro project's folder, as a path on the cluster.
        package_name: The project's Python package.
        data_root: The data root, as a path on the cluster.
        options: `kedro run`'s options as Kedro's own parsers return them.
        user: The user's name at Databricks.
        info: What else the log's first record contains, such as commit, branch and cluster.
        prefix: The project's folder inside its repository, empty at the top.
    """

    run_id: str
    project_path: PurePosixPath
    package_name: str
    data_root: PurePosixPath
    options: dict[str, Any]
    user: str
    info: dict[str, str | None]
    prefix: str = ""

    @property
    def log(self) -> PurePosixPath:
        """The run log's folder, relative to the data root."""
        return RUNS_FOLDER / self.run_id

    @property
    def full_info(self) -> dict[str, str | None]:
        """Everything that describes the run except its options."""
        return {"run_id": self.run_id, "user": self.user, **self.info}

    def as_command(self) -> str:
        """Return the Python code that performs this run on a cluster."""
        request = json.dumps(self._for_driver(), default=str)
        return f"{driver_text()}_driver.main(__import__('json').loads({request!r}))\n"

    def as_parameter(self) -> str:
        """Return the parameter for a job's notebook: JSON without `{{`, which jobs would replace."""
        return json.dumps(self._for_driver(), default=str).replace("{{", "{\\u007b")

    def _for_driver(self) -> dict[str, Any]:
        options = {name: _typed(name, self.options[name]) for name in _NOT_FOR_RUN & self.options.keys()}
        return {
            "project_path": str(self.project_path),
            "code_folder": str(self.project_path.joinpath(*[".."] * len(PurePosixPath(self.prefix).parts))),
            "package_name": self.package_name,
            "data_root": str(self.data_root),
            "log_folder": str(self.data_root / self.log),
            "facts": self.full_info,
            "environment": {
                **_ENVIRONMENT,
                "KEDRO_DATABRICKS_USER": self.user,
                "KEDRO_DATABRICKS_BRANCH": self.info.get("branch") or "",
                "KEDRO_DATABRICKS_CODE": self.info.get("commit") or "",
            },
            "options": {"env": None, "conf_source": None, "params": {}, **options},
            "run": _run_arguments(self.options),
        }


def driver_text() -> str:
    """Return Python code that loads this version's driver program as `_driver`."""
    folder = resources.files("kedro_databricks_hybrid.run").joinpath("driver")
    modules = sorted(each.name.removesuffix(".py") for each in folder.iterdir() if each.name.endswith(".py"))
    sources = {
        _DRIVER_NAME if name == "__init__" else f"{_DRIVER_NAME}.{name}": folder.joinpath(
            f"{name}.py"
        ).read_text("utf-8")
        for name in modules
    }
    return _LOADING.format(sources=sources, folder=_DRIVER, name=_DRIVER_NAME)


def _run_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for `session.run`; `--pipeline` is the old name of `--pipelines`."""
    arguments: dict[str, Any] = {
        name: _typed(name, each) for name, each in options.items() if name not in _NOT_FOR_RUN
    }
    one, several = arguments.pop("pipeline", None), arguments.pop("pipelines", None)
    arguments["pipeline_names"] = list(dict.fromkeys(several or ([one] if one else [])))
    return arguments


def _typed(name: str, value: object) -> object:
    """Return an option's value for JSON; as YAML if JSON would change it, such as keys that are numbers.

    Raises:
        RunError: YAML has no such type either.
    """
    import yaml

    with contextlib.suppress(TypeError, ValueError):
        if json.loads(json.dumps(value)) == value:
            return value
    try:
        return {YAML: yaml.safe_dump(value)}
    except yaml.representer.RepresenterError as error:
        message = f"The value of the option {name} cannot be sent to Databricks: {value!r}."
        raise RunError(message, hint="Use values that YAML can contain.") from error


def new_run_id() -> str:
    """Return a new run id, also used as idempotency token; ids sort by start time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
