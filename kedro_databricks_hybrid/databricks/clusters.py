"""Choose a cluster, start it, and wait until its libraries are installed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.retry import Backoff
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ComputeError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from databricks.sdk.service.compute import ClusterDetails, LibraryFullStatus

    from kedro_databricks_hybrid.databricks.workspace import Workspace

SERVERLESS = "serverless"
"""The reserved cluster name for serverless compute."""

NONE_VISIBLE = "You can see no all-purpose cluster"
"""The reason for serverless compute if nobody asked for it."""

_START_MINUTES = 30
_POLL_SECONDS = (0.25, 5.0)
_IS_STARTED = re.compile(r"unexpected state (Running|Pending|Resizing|Restarting)", re.IGNORECASE)
_LIBRARY_MINUTES = 30
_INSTALLING = {"PENDING", "RESOLVING", "INSTALLING", "RESTORED"}


@dataclass(frozen=True)
class Cluster:
    """An all-purpose cluster: its id and its name."""

    cluster_id: str
    name: str


@dataclass(frozen=True)
class VisibleCluster(Cluster):
    """A cluster that the user can see, with its state."""

    state: str


def choose(workspace: Workspace, wanted: str | None) -> Cluster | None:
    """Return the cluster with an id or name; without one, the only running or only visible cluster.

    Args:
        workspace: The workspace.
        wanted: An id or a name; None for the only running cluster, or else the only visible one.

    Returns:
        The cluster; None for serverless compute, if no cluster is named and none is visible.

    Raises:
        ComputeError: No cluster matches, or several do; the message lists the visible clusters.
    """
    return pick(visible(workspace), wanted)


def visible(workspace: Workspace) -> list[VisibleCluster]:
    """Return the all-purpose clusters that the user can see."""
    with translated("list the clusters"):
        return [
            VisibleCluster(each.cluster_id, each.cluster_name or each.cluster_id, _state(each))
            for each in workspace.client.clusters.list()
            if each.cluster_id and _is_all_purpose(each)
        ]


def pick(found: Sequence[VisibleCluster], wanted: str | None) -> Cluster | None:
    """Choose among visible clusters as `choose` does."""
    names = ", ".join(f"{each.name} ({each.state})" for each in found) or "none"
    if wanted:
        matching = [c for c in found if c.cluster_id == wanted] or [c for c in found if c.name == wanted]
        if len(matching) != 1:
            raise ComputeError(
                f"{'No cluster is' if not matching else f'{len(matching)} clusters are'} called {wanted!r}. "
                f"Clusters that you can see: {names}.",
                hint="Choose one by its name or id with --cluster, or as compute.cluster in databricks.yml.",
            )
        return matching[0]
    if not found:
        return None
    running = [each for each in found if each.state == "RUNNING"]
    for candidates in (running, found):
        if len(candidates) == 1:
            return candidates[0]
    raise ComputeError(
        f"There are several clusters to choose from: {names}.",
        hint="Choose one by its name or id with --cluster, or as compute.cluster in databricks.yml.",
    )


@dataclass(frozen=True)
class Details:
    """A cluster's properties.

    Args:
        cluster_id: Its id.
        name: Its name.
        state: RUNNING, TERMINATED and so on.
        runtime: The key of its Databricks Runtime, such as 17.3.x-scala2.13.
        access_mode: Its data_security_mode; empty if Databricks does not return it.
        single_user: The user that a dedicated cluster is assigned to.
    """

    cluster_id: str
    name: str
    state: str
    runtime: str
    access_mode: str
    single_user: str | None


def details(workspace: Workspace, cluster: Cluster) -> Details:
    """Return a cluster's properties."""
    found = _get(workspace, cluster)
    mode = found.data_security_mode
    return Details(
        cluster.cluster_id,
        cluster.name,
        _state(found),
        found.spark_version or "",
        mode.value if mode else "",
        found.single_user_name,
    )


def ensure_running(workspace: Workspace, cluster: Cluster, say: Callable[[str], None]) -> None:
    """Start a cluster unless it is running, and wait until it is.

    Args:
        workspace: The workspace.
        cluster: The cluster.
        say: Called with one line at every change of state.

    Raises:
        ComputeError: It did not start; the message contains Databricks' reason.
    """
    if isinstance(cluster, VisibleCluster) and cluster.state == "RUNNING":
        return  # it was just listed as running
    deadline = time.monotonic() + _START_MINUTES * 60
    backoff = Backoff(*_POLL_SECONDS, factor=1.5)
    began = time.monotonic()
    shown = ""
    started = False
    while True:
        details = _get(workspace, cluster)
        state = _state(details)
        if state == "RUNNING":
            if shown:
                say(f"Cluster {cluster.name} is running ({time.monotonic() - began:.0f} s).")
            return
        if state == "TERMINATED" and not started:
            _start(workspace, cluster)
            started, state = True, "starting"
        elif state in {"TERMINATED", "ERROR", "UNKNOWN"}:
            raise ComputeError(
                f"The cluster {cluster.name} did not start: {_reason(details)}",
                hint=f"Open {workspace.host}/compute/clusters/{cluster.cluster_id}, or choose another one "
                "with --cluster.",
            )
        if state != shown:
            message = f": {details.state_message}" if details.state_message and state != "starting" else ""
            say(f"Cluster {cluster.name} is {state.lower()}{message}")
            shown = state
        if time.monotonic() > deadline:
            raise ComputeError(f"The cluster {cluster.name} did not start within {_START_MINUTES} minutes.")
        backoff.sleep()


def _start(workspace: Workspace, cluster: Cluster) -> None:
    """Start a cluster, unless somebody else has just done it."""
    try:
        with translated(f"start the cluster {cluster.name}"):
            workspace.client.clusters.start(cluster.cluster_id)
    except WorkspaceError as error:
        if not _IS_STARTED.search(error.message):
            raise


def _get(workspace: Workspace, cluster: Cluster) -> ClusterDetails:
    with translated(f"read the state of the cluster {cluster.name}"):
        return workspace.client.clusters.get(cluster.cluster_id)


def _state(details: ClusterDetails) -> str:
    return details.state.value if details.state else "UNKNOWN"


def _is_all_purpose(details: ClusterDetails) -> bool:
    return details.cluster_source is None or details.cluster_source.value not in {"JOB", "PIPELINE", "SQL"}


def _reason(details: ClusterDetails) -> str:
    reason = details.termination_reason
    code = reason.code.value if reason and reason.code else _state(details)
    return f"{code}. {details.state_message or ''}".strip()


def wait_for_libraries(workspace: Workspace, cluster: Cluster, say: Callable[[str], None]) -> None:
    """Wait until a cluster's libraries are installed, and report those that failed.

    Args:
        workspace: The workspace.
        cluster: A running cluster.
        say: Called with one line when it starts waiting, and for each library that failed.

    Raises:
        ComputeError: They are not installed after half an hour.
    """
    backoff = Backoff()
    deadline = time.monotonic() + _LIBRARY_MINUTES * 60
    shown = False
    while True:
        libraries = _libraries(workspace, cluster)
        waiting = [_library_name(each) for each in libraries if _library_status(each) in _INSTALLING]
        if not waiting:
            break
        if not shown:
            say(f"Waiting for the libraries of the cluster {cluster.name}: {', '.join(waiting)}")
        shown = True
        if time.monotonic() > deadline:
            page = f"{workspace.host}/compute/clusters/{cluster.cluster_id}"
            raise ComputeError(
                f"The cluster {cluster.name} has not installed {', '.join(waiting)} "
                f"within {_LIBRARY_MINUTES} minutes.",
                hint=f"Remove or replace them at {page}.",
            )
        backoff.sleep()
    for each in libraries:
        if _library_status(each) == "FAILED":
            reason = " ".join(" ".join(each.messages or []).split())[-300:]
            say(f"The cluster {cluster.name} could not install its library {_library_name(each)}: {reason}")


def _libraries(workspace: Workspace, cluster: Cluster) -> list[LibraryFullStatus]:
    """Return the libraries; none if the user may not see their state."""
    try:
        with translated(f"get the libraries of the cluster {cluster.name}"):
            return list(workspace.client.libraries.cluster_status(cluster.cluster_id))
    except WorkspaceError:
        return []


def _library_status(library: LibraryFullStatus) -> str:
    return library.status.value if library.status else ""


def _library_name(library: LibraryFullStatus) -> str:
    """Return a library's name: its package, Maven coordinates or file."""
    found = library.library.as_dict() if library.library else {}
    what = next(iter(found.values()), "a library")
    return str(what.get("package") or what.get("coordinates") or what) if isinstance(what, dict) else what
