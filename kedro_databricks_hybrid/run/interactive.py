"""Runs on an interactive cluster: the driver program as one command in an execution context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import ComputeError, WorkspaceError
from kedro_databricks_hybrid.run import memory
from kedro_databricks_hybrid.run.patience import is_passing
from kedro_databricks_hybrid.run.started import Ending, Started

if TYPE_CHECKING:
    from kedro_databricks_hybrid.run.command import Context
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.remote import RemoteTree

_DIED = "The Python process on the cluster ended before the run did"
_AGAIN = "Run it again, which starts a new one."


@dataclass(frozen=True)
class CommandWork:
    """A command in an execution context.

    Args:
        context: The execution context.
        command_id: The command; empty where it was not noted.
    """

    context: Context
    command_id: str

    def ending(self) -> Ending | None:
        """Return how the command ended; a context that is lost took it along."""
        try:
            result = self.context.result(self.command_id)
        except WorkspaceError as error:  # evicted, or gone with its cluster
            if is_passing(error):
                raise
            return self._died(error.message)
        return self._died(result.text) if result.ended else None

    def cancel(self) -> None:
        """Interrupt the command."""
        self.context.cancel(self.command_id)

    def abandon(self) -> None:
        """End the process.

        Raises:
            ComputeError: It goes on.
        """
        self.context.destroy()
        if self.ending() is None:
            raise ComputeError(f"The Python process on the cluster {self.context.cluster.name} did not end.")

    def _died(self, words: str) -> Ending:
        """Say all that is known of the end: what the command left, and what the cluster says of itself."""
        reason = self.context.cluster_ended()
        hint = _AGAIN
        if not reason and memory.is_likely(words):
            reason, hint = memory.LIKELY, memory.HINT
        return Ending("failed", f"{_DIED}{f': {reason}' if reason else ''}.", words, hint)


def start(context: Context, request: RunRequest, tree: RemoteTree) -> Started:
    """Start a run in a context."""
    command_id = context.start(request.as_command())
    started = Started(CommandWork(context, command_id), tree, request.run_id)
    started.note({**request.all_facts, "command_id": command_id})
    return started
