"""A cluster's own libraries, which install while it starts already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import WorkspaceError
from kedro_databricks_hybrid.run.command import Pauses
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from databricks.sdk.service.compute import LibraryFullStatus

    from kedro_databricks_hybrid.cluster import Cluster
    from kedro_databricks_hybrid.workspace import Workspace

_GOING_ON = {"PENDING", "RESOLVING", "INSTALLING", "RESTORED"}


def wait(workspace: Workspace, cluster: Cluster, say: Callable[[str], None]) -> None:
    """Wait until a cluster's libraries are installed, and name those that could not be.

    Args:
        workspace: Where the cluster is.
        cluster: A running cluster.
        say: Called with one line when there is something to wait for, and for what failed.
    """
    pauses = Pauses()
    told = False
    while True:
        libraries = _ask(workspace, cluster)
        waiting = [_name(each) for each in libraries if _status(each) in _GOING_ON]
        if not waiting:
            break
        if not told:
            say(f"Waiting for the libraries of the cluster {cluster.name}: {', '.join(waiting)}")
        told = True
        pauses.sleep()
    for each in libraries:
        if _status(each) == "FAILED":
            words = " ".join(" ".join(each.messages or []).split())[-300:]
            say(f"The cluster {cluster.name} could not install its library {_name(each)}: {words}")


def _ask(workspace: Workspace, cluster: Cluster) -> list[LibraryFullStatus]:
    """Return the libraries, none where their state is not for this user to know."""
    try:
        with translated(f"ask for the libraries of the cluster {cluster.name}"):
            return list(workspace.client.libraries.cluster_status(cluster.cluster_id))
    except WorkspaceError:
        return []


def _status(library: LibraryFullStatus) -> str:
    return library.status.value if library.status else ""


def _name(library: LibraryFullStatus) -> str:
    """Return what a library is called: its package, or the file that it is."""
    found = library.library.as_dict() if library.library else {}
    what = next(iter(found.values()), "a library")
    return str(what.get("package") or what.get("coordinates") or what) if isinstance(what, dict) else what
