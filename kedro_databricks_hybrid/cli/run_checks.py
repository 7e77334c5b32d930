"""What `kedro databricks run` checks before it starts anything: the names in its options, and the inputs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.data_push import warn_of_credentials, warn_of_loader, warn_of_missing
from kedro_databricks_hybrid.cli.options import warn
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.project import scaffold, settings_py
from kedro_databricks_hybrid.project.datasets import UnknownDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.run.compute import Choice

_LOGGING = "KEDRO_LOGGING_CONFIG"
_VARIABLES = (_LOGGING, "KEDRO_LOGGING_MODULE_ALLOWLIST", "KEDRO_MP_CONTEXT")
_SELECTING = ("tags", "node_names", "from_nodes", "to_nodes", "namespaces", "from_inputs", "to_outputs")


def pipelines_of(options: Mapping[str, Any]) -> list[str]:
    """Return the pipelines that the options of `kedro run` name; `--pipeline` is the old spelling."""
    one, several = options.get("pipeline"), options.get("pipelines")
    return list(dict.fromkeys(several or ([one] if one else [])))


def variables(project: ProjectOnWorkspace) -> dict[str, str]:
    """Return Kedro's environment variables that also apply to the run, with paths relative to the project.

    Warns if KEDRO_LOGGING_CONFIG names a file that does not reach Databricks.
    """
    found = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if config := found.pop(_LOGGING, None):
        file = Path(config).resolve()
        repository = project.repository
        if repository.run("ls-files", "--error-unmatch", str(file)).returncode == 0:
            found[_LOGGING] = Path(os.path.relpath(file, project.metadata.project_path)).as_posix()
        else:
            warn(f"{_LOGGING} has no effect on Databricks: git does not track {config} in this repository.")
    return found


def refuse_unknown_names(project: ProjectOnWorkspace, code: GitFolder, options: Mapping[str, Any]) -> None:
    """Refuse options that name something that the pipeline does not have.

    The names are those of the local project, so they are checked only if it is what the Git folder holds,
    and if it can be imported here.

    Raises:
        HybridError: Kedro would refuse the options; the hint is the nearest name.
    """
    names = pipelines_of(options)
    if not names and not any(options.get(option) for option in _SELECTING):
        return
    if not work_in_progress.holds_edits(project.repository, code.sha):
        return
    try:
        catalog = project.catalog(options.get("params") or {}, names)
    except UnknownDataError:
        return
    if not catalog.unknown:
        catalog.refuse_unknown_names(options)


def warn_before_start(project: ProjectOnWorkspace, choice: Choice, options: Mapping[str, Any]) -> None:
    """Warn of a config loader whose paths lead into the Git folder, and of what the run will not find.

    On a running cluster the driver warns of the latter, which takes no import of the project here.
    """
    is_slow = choice.is_job or getattr(choice.cluster, "state", "RUNNING") != "RUNNING"
    with contextlib.suppress(HybridError):  # the run itself will say what is wrong
        if not is_slow and settings_py.uses_loader(settings_py.source(project.metadata)):
            return  # without importing the project
        if not is_slow and scaffold.other_loader(project.metadata.package_name) is None:
            return
        catalog = project.catalog(options.get("params") or {}, pipelines_of(options))
        warn_of_loader(project, catalog)
        if is_slow:
            warn_of_missing(project, catalog.data())
            warn_of_credentials(project, catalog)
