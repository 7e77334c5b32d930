"""What `kedro databricks run` checks before it starts anything: the names in its options, and the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.cli.data_push import warn_of_missing
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.project.datasets import UnknownDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.project.project import ProjectOnWorkspace
    from kedro_databricks_hybrid.run.compute import Choice

_SELECTING = ("tags", "node_names", "from_nodes", "to_nodes", "namespaces", "from_inputs", "to_outputs")


def pipelines_of(options: Mapping[str, Any]) -> list[str]:
    """Return the pipelines that the options of `kedro run` name; `--pipeline` is the old spelling."""
    one, several = options.get("pipeline"), options.get("pipelines")
    return list(dict.fromkeys(several or ([one] if one else [])))


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


def warn_of_missing_inputs(project: ProjectOnWorkspace, choice: Choice, options: Mapping[str, Any]) -> None:
    """Warn of inputs that exist nowhere, if the compute takes time to start.

    On a running cluster the driver warns of them, which takes no import of the project here.
    """
    if not choice.is_job and getattr(choice.cluster, "state", "RUNNING") == "RUNNING":
        return
    try:
        warn_of_missing(project, project.catalog(options.get("params") or {}, pipelines_of(options)).data())
    except HybridError:
        return  # the run itself will say what is wrong
