"""One warm execution context per project and user, with the project's requirements installed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks import clusters
from kedro_databricks_hybrid.run import install
from kedro_databricks_hybrid.run.context import Context, create_context
from kedro_databricks_hybrid.run.local_state import ContextStore, StoredContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.databricks.clusters import Cluster
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.requirements import Requirements


@dataclass(frozen=True)
class WarmContext:
    """The stored context of one project and user on one cluster.

    Args:
        workspace: The workspace.
        cluster: A running cluster.
        project: The project's folder in the workspace.
    """

    workspace: Workspace
    cluster: Cluster
    project: PurePosixPath

    def context(
        self,
        requirements: Requirements | None,
        say: Callable[[str], None],
        end_of: Callable[[str], dict[str, Any] | None],
    ) -> tuple[Context, str | None]:
        """Return a context with the requirements installed: the stored one if it is usable, else a new one.

        Args:
            requirements: What to install, unless the context has exactly that.
            say: Called with one line per slow step.
            end_of: Returns a run's end record by its id; None if there is none.

        Returns:
            The context, and the id of the last run that was started in it, if that has not ended.

        Raises:
            RunError: pip failed; the message holds its output.
        """
        digest = requirements.digest if requirements else None
        if stored := self._store.get(self._key):
            context = Context(self.workspace, self.cluster, stored.context_id, is_warm=True)
            if context.is_running():
                run_id = stored.run_id
                end = end_of(run_id) if run_id else {}
                # Modules that are imported, or half imported after a cancel, would stay in the process.
                if stored.requirements == digest and not (end and end.get("spoiled")):
                    return context, run_id if end is None else None
                context.destroy()
            self._store.put(self._key, None)
        context = fresh_context(self.workspace, self.cluster, requirements, say)
        self._store.put(self._key, StoredContext(context.context_id, digest))
        return context, None

    def remember_run(self, run_id: str) -> None:
        """Store the id of the last run started."""
        if stored := self._store.get(self._key):
            self._store.put(self._key, replace(stored, run_id=run_id))

    @property
    def _store(self) -> ContextStore:
        return ContextStore()

    @property
    def _key(self) -> str:
        return f"{self.workspace.host} {self.workspace.user} {self.cluster.cluster_id} {self.project}"


def fresh_context(
    workspace: Workspace,
    cluster: Cluster,
    requirements: Requirements | None,
    say: Callable[[str], None],
) -> Context:
    """Create a context and install the requirements in it, after the cluster has installed its libraries."""
    clusters.wait_for_libraries(workspace, cluster, say)
    say(f"Starting Python on the cluster {cluster.name}")
    context = create_context(workspace, cluster, say)
    if requirements:
        with context.destroyed_on_error():
            install.install(context, requirements, say)
    return context
