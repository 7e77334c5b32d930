"""Choose the compute of a run from options, settings and the clusters there are. Pure.

For serverless jobs also the environment, built from the project's requirements.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kedro_databricks_hybrid.databricks.clusters import NONE_VISIBLE, SERVERLESS, pick
from kedro_databricks_hybrid.errors import ComputeError
from kedro_databricks_hybrid.project.requirements import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kedro_databricks_hybrid.databricks.clusters import Cluster, Seen
    from kedro_databricks_hybrid.errors import WorkspaceError
    from kedro_databricks_hybrid.project.requirements import Fit, Requirements
    from kedro_databricks_hybrid.project.settings import Compute

_NO_CLUSTER = f"{NONE_VISIBLE}, so this runs on serverless compute, as a job."
ENVIRONMENT_KEY = "kedro"
"""What a task calls its environment."""

WITHOUT_ENVIRONMENT = (
    "This workspace takes no environment for notebook tasks: the notebook itself installs the requirements "
    "by %pip, on the version of serverless compute that the workspace has by default."
)

_REFUSED = re.compile(r"task environment can ?not be provided for notebook", re.IGNORECASE)


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for.

    Args:
        cluster: Name or id of a cluster.
        serverless: Serverless compute.
        job: A job instead of an interactive run.
    """

    cluster: str | None = None
    serverless: bool = False
    job: bool = False


@dataclass(frozen=True)
class Choice:
    """What a run takes.

    Args:
        is_job: Whether it is a job, or else a command on an interactive cluster.
        compute: What it runs on.
        cluster: The cluster, where it is one that exists.
        why: One sentence, where a job is made or serverless compute is taken that nobody asked for.
    """

    is_job: bool
    compute: Literal["cluster", "job cluster", "serverless"]
    cluster: Cluster | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The name of what it runs on."""
        return self.cluster.name if self.cluster else self.compute

    @property
    def place(self) -> str:
        """Return what it runs on, in words that follow "Running ..."."""
        where = {
            "cluster": f"on the cluster {self.name}",
            "job cluster": "on a new job cluster",
            "serverless": "on serverless compute",
        }[self.compute]
        return f"as a job {where}" if self.is_job else where


def choose_compute(wishes: Wishes, compute: Compute, clusters: Callable[[], Sequence[Seen]]) -> Choice:
    """Choose where a run takes place.

    Commands need an all-purpose cluster. What cannot take commands becomes a job, and the choice says why. A
    job makes a cluster of its own where the settings describe one, unless a cluster is named on the command
    line. Where no cluster can be seen and none is named or described, it is serverless compute.

    Args:
        wishes: What was asked for.
        compute: What the settings say.
        clusters: Returns the all-purpose clusters; asked only where they matter.

    Raises:
        ComputeError: No cluster, or several, could be meant.
    """
    own_cluster = compute.job_cluster is not None and wishes.cluster is None
    named = wishes.cluster or (None if wishes.job and own_cluster else compute.cluster)
    if wishes.serverless or named == SERVERLESS:
        why = "" if wishes.job else "Serverless compute takes no commands, so this run becomes a job."
        if not wishes.serverless and not clusters():  # init wrote it into the settings then
            why = _NO_CLUSTER
        return Choice(is_job=True, compute="serverless", why=why)
    if wishes.job and own_cluster:
        return Choice(is_job=True, compute="job cluster")
    found = clusters()
    if not found and not named and own_cluster:
        why = f"{NONE_VISIBLE}, so this run becomes a job on a cluster of its own."
        return Choice(is_job=True, compute="job cluster", why=why)
    picked = pick(found, named)
    if picked is None:
        return Choice(is_job=True, compute="serverless", why=_NO_CLUSTER)
    return Choice(wishes.job, "cluster", picked)


def refuse_out_of_reach(choice: Choice, data_root: str) -> None:
    """Refuse a data root that the chosen compute does not have.

    Raises:
        ComputeError: Serverless compute has no /dbfs.
    """
    if choice.compute == "serverless" and not data_root.startswith(("/Volumes/", "dbfs:/Volumes/")):
        raise ComputeError(
            f"Serverless compute cannot reach the data root {data_root}: it has no /dbfs.",
            hint="Keep the data in a volume (`kedro databricks init --volume=<catalog>.<schema>.<volume>`), "
            "or run on a cluster.",
        )


def is_refused(error: WorkspaceError) -> bool:
    """Tell whether Databricks refuses a job because its notebook task has an environment."""
    return bool(_REFUSED.search(error.message))


def serverless_dependencies(requirements: Requirements, version: str) -> Fit:
    """Return what an environment installs, always as lines: it is made before there is a file to read.

    Args:
        requirements: The requirements.
        version: The environment's version.
    """
    return fit(replace(requirements, is_for_pip=False), f"serverless-{version}")


def serverless_environment(version: str, lines: list[str]) -> dict[str, object]:
    """Return the environment as the jobs API takes it."""
    spec: dict[str, object] = {"environment_version": version}
    if lines:
        spec["dependencies"] = lines
    return {"environment_key": ENVIRONMENT_KEY, "spec": spec}
