"""Choose a run's compute from options, settings and the visible clusters. Pure.

Also builds the environment of serverless jobs from the project's requirements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kedro_databricks_hybrid.databricks.clusters import NONE_VISIBLE, SERVERLESS, pick
from kedro_databricks_hybrid.databricks.volume_paths import is_on_volume
from kedro_databricks_hybrid.errors import ComputeError
from kedro_databricks_hybrid.project.requirements import fit
from kedro_databricks_hybrid.project.requirements_file import without_comments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kedro_databricks_hybrid.databricks.clusters import Cluster, VisibleCluster
    from kedro_databricks_hybrid.errors import WorkspaceError
    from kedro_databricks_hybrid.project.requirements import Fit, Requirements
    from kedro_databricks_hybrid.project.settings import Compute

_NO_CLUSTER = f"{NONE_VISIBLE}, so this runs on serverless compute, as a job."

ENVIRONMENT_KEY = "kedro"
"""The key by which a task refers to its environment."""

WITHOUT_ENVIRONMENT = (
    "This workspace takes no environment for notebook tasks: the notebook installs the requirements with "
    "%pip, on the workspace's default version of serverless compute."
)
"""What to report if Databricks refuses the environment of a notebook task."""

_REFUSED = re.compile(r"task environment can ?not be provided for notebook", re.IGNORECASE)


@dataclass(frozen=True)
class ComputeOptions:
    """The command line's options for compute.

    Args:
        cluster: Name or id of a cluster.
        serverless: Run on serverless compute.
        job: Run as a job instead of a command.
    """

    cluster: str | None = None
    serverless: bool = False
    job: bool = False


@dataclass(frozen=True)
class Choice:
    """The compute that a run uses.

    Args:
        is_job: True for a job, False for a command on an all-purpose cluster.
        compute: The kind of compute.
        cluster: The cluster, if it is an existing one.
        why: One sentence that explains why the run becomes a job or serverless, if nobody asked for that.
    """

    is_job: bool
    compute: Literal["cluster", "job cluster", "serverless"]
    cluster: Cluster | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The cluster's name, or the kind of compute."""
        return self.cluster.name if self.cluster else self.compute

    @property
    def phrase(self) -> str:
        """How the run is performed, as words that follow "Running ..."."""
        where = {
            "cluster": f"on the cluster {self.name}",
            "job cluster": "on a new job cluster",
            "serverless": "on serverless compute",
        }[self.compute]
        return f"as a job {where}" if self.is_job else where


def choose_compute(
    options: ComputeOptions, compute: Compute, clusters: Callable[[], Sequence[VisibleCluster]]
) -> Choice:
    """Choose a run's compute.

    Commands need an all-purpose cluster; on any other compute the run becomes a job, and `why` explains it.
    A job creates a new cluster if the settings describe one, unless the command line names a cluster. If no
    cluster is visible, and none is named or described, the run uses serverless compute.

    Args:
        options: The command line's options.
        compute: The `compute` section of databricks.yml.
        clusters: Returns the all-purpose clusters; called only if they matter.

    Raises:
        ComputeError: No cluster matches, or several do.
    """
    new_cluster = compute.job_cluster is not None and options.cluster is None
    named = options.cluster or (None if options.job and new_cluster else compute.cluster)
    if options.serverless or named == SERVERLESS:
        why = "" if options.job else "Serverless compute runs no commands, so this run becomes a job."
        if not options.serverless and not clusters():  # then `init` wrote it to the settings
            why = _NO_CLUSTER
        return Choice(is_job=True, compute="serverless", why=why)
    if options.job and new_cluster:
        return Choice(is_job=True, compute="job cluster")
    found = clusters()
    if not found and not named and new_cluster:
        why = f"{NONE_VISIBLE}, so this run becomes a job on a new cluster."
        return Choice(is_job=True, compute="job cluster", why=why)
    picked = pick(found, named)
    if picked is None:
        return Choice(is_job=True, compute="serverless", why=_NO_CLUSTER)
    return Choice(options.job, "cluster", picked)


def refuse_out_of_reach(choice: Choice, data_root: str) -> None:
    """Refuse a data root that the chosen compute cannot reach.

    Raises:
        ComputeError: Serverless compute has no /dbfs, so it can only reach volumes.
    """
    if choice.compute == "serverless" and not is_on_volume(data_root):
        raise ComputeError(
            f"Serverless compute cannot reach the data root {data_root}: it has no /dbfs.",
            hint="Keep the data in a volume (`kedro databricks init --volume=<catalog>.<schema>.<volume>`), "
            "or run on a cluster.",
        )


def is_refused(error: WorkspaceError) -> bool:
    """Tell whether Databricks refused a job because its notebook task has an environment."""
    return bool(_REFUSED.search(error.message))


def serverless_dependencies(requirements: Requirements, version: str) -> Fit:
    """Return what a serverless environment installs, always as lines, as no file exists there yet.

    Args:
        requirements: The project's requirements.
        version: The environment's version.
    """
    fitting = fit(replace(requirements, is_for_pip=False), f"serverless-{version}")
    return replace(fitting, lines=without_comments(fitting.lines or []))


def serverless_environment(version: str, lines: list[str]) -> dict[str, object]:
    """Return the environment in the form of the jobs API."""
    spec: dict[str, object] = {"environment_version": version}
    if lines:
        spec["dependencies"] = lines
    return {"environment_key": ENVIRONMENT_KEY, "spec": spec}
