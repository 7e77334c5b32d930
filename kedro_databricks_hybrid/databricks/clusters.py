"""The cluster to run on: which one, and waiting until it runs and has its libraries."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.retry import Pauses
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ComputeError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from databricks.sdk.service.compute import ClusterDetails, LibraryFullStatus

    from kedro_databricks_hybrid.databricks.workspace import Workspace

SERVERLESS = "serverless"
"""The reserved name that stands for serverless compute instead of a cluster."""

NONE_VISIBLE = "You can see no all-purpose cluster"
"""Why serverless compute is taken though nobody named it."""

_START_MINUTES = 30
_POLL_SECONDS = (0.25, 5.0)
_INSTALLING = {"PENDING", "RESOLVING", "INSTALLING", "RESTORED"}


@dataclass(frozen=True)
class Cluster:
    """An all-purpose cluster: its id and its name."""

    cluster_id: str
    name: str


@dataclass(frozen=True)
class Seen(Cluster):
    """A cluster that the user can see, and its state."""

    state: str


def choose(workspace: Workspace, wanted: str | None) -> Cluster | None:
    """Return the cluster with an id or a name, or the only one that there is a reason to take.

    Args:
        workspace: Where to look.
        wanted: An id or a name; None takes the one that runs, or the only one there is.

    Returns:
        The cluster; None for serverless compute, since none was named and none can be seen.

    Raises:
        ComputeError: The named one is not there, or the choice is not clear; the message names what there is.
    """
    return pick(visible(workspace), wanted)


def visible(workspace: Workspace) -> list[Seen]:
    """Return the all-purpose clusters that the user can see."""
    with translated("list the clusters"):
        return [
            Seen(each.cluster_id, each.cluster_name or each.cluster_id, _state(each))
            for each in workspace.client.clusters.list()
            if each.cluster_id and _is_all_purpose(each)
        ]


def pick(found: Sequence[Seen], wanted: str | None) -> Cluster | None:
    """Choose among clusters as `choose` does."""
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
        f"Which cluster shall it be? Clusters that you can see: {names}.",
        hint="Choose one by its name or id with --cluster, or as compute.cluster in databricks.yml.",
    )


@dataclass(frozen=True)
class Details:
    """What Databricks says of a cluster.

    Args:
        cluster_id: Its id.
        name: Its name.
        state: RUNNING, TERMINATED and so on.
        runtime: Its Databricks Runtime as the API spells it, such as 17.3.x-scala2.13.
        access_mode: Its data_security_mode, empty where it is not told.
        single_user: Whom a dedicated cluster belongs to.
    """

    cluster_id: str
    name: str
    state: str
    runtime: str
    access_mode: str
    single_user: str | None


def details(workspace: Workspace, cluster: Cluster) -> Details:
    """Ask for a cluster's details."""
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
    """Start a cluster that does not run and wait until it does.

    Args:
        workspace: Where the cluster is.
        cluster: Which.
        say: Called with one line at every change of state.

    Raises:
        ComputeError: It did not start; the message holds Databricks' own reason.
    """
    if isinstance(cluster, Seen) and cluster.state == "RUNNING":
        return  # it was so a moment ago
    deadline = time.monotonic() + _START_MINUTES * 60
    pause, longest = _POLL_SECONDS
    began = time.monotonic()
    told = ""
    started = False
    while True:
        details = _get(workspace, cluster)
        state = _state(details)
        if state == "RUNNING":
            if told:
                say(f"Cluster {cluster.name} is running ({time.monotonic() - began:.0f} s).")
            return
        if state == "TERMINATED" and not started:
            with translated(f"start the cluster {cluster.name}"):
                workspace.client.clusters.start(cluster.cluster_id)
            started, state = True, "starting"
        elif state in {"TERMINATED", "ERROR", "UNKNOWN"}:
            raise ComputeError(
                f"The cluster {cluster.name} did not start: {_reason(details)}",
                hint=f"Look at {workspace.host}/compute/clusters/{cluster.cluster_id}, or choose another one "
                "with --cluster.",
            )
        if state != told:
            message = f": {details.state_message}" if details.state_message and state != "starting" else ""
            say(f"Cluster {cluster.name} is {state.lower()}{message}")
            told = state
        if time.monotonic() > deadline:
            raise ComputeError(f"The cluster {cluster.name} did not start within {_START_MINUTES} minutes.")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


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
    """Wait until a cluster's libraries are installed, and name those that could not be.

    Args:
        workspace: Where the cluster is.
        cluster: A running cluster.
        say: Called with one line when there is something to wait for, and for what failed.
    """
    pauses = Pauses()
    told = False
    while True:
        libraries = _libraries(workspace, cluster)
        waiting = [_library_name(each) for each in libraries if _library_status(each) in _INSTALLING]
        if not waiting:
            break
        if not told:
            say(f"Waiting for the libraries of the cluster {cluster.name}: {', '.join(waiting)}")
        told = True
        pauses.sleep()
    for each in libraries:
        if _library_status(each) == "FAILED":
            words = " ".join(" ".join(each.messages or []).split())[-300:]
            say(f"The cluster {cluster.name} could not install its library {_library_name(each)}: {words}")


def _libraries(workspace: Workspace, cluster: Cluster) -> list[LibraryFullStatus]:
    """Return the libraries, none where their state is not for this user to know."""
    try:
        with translated(f"ask for the libraries of the cluster {cluster.name}"):
            return list(workspace.client.libraries.cluster_status(cluster.cluster_id))
    except WorkspaceError:
        return []


def _library_status(library: LibraryFullStatus) -> str:
    return library.status.value if library.status else ""


def _library_name(library: LibraryFullStatus) -> str:
    """Return what a library is called: its package, or the file that it is."""
    found = library.library.as_dict() if library.library else {}
    what = next(iter(found.values()), "a library")
    return str(what.get("package") or what.get("coordinates") or what) if isinstance(what, dict) else what
