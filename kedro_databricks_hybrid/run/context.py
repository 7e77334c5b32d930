"""Execution contexts and commands (API 1.2), and runs as a command in a context."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kedro_databricks_hybrid.databricks.retry import Backoff, is_transient
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import ComputeError, HybridError, WorkspaceError
from kedro_databricks_hybrid.run import follow
from kedro_databricks_hybrid.run.follow import Ending, Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk.service.compute import CommandStatusResponse

    from kedro_databricks_hybrid.databricks.clusters import Cluster
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.run.request import RunRequest
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_CONTEXT_SECONDS = 300.0
_DIED = "The Python process on the cluster ended before the run did"
_RUN_AGAIN = "Run it again, which starts a new process."


@dataclass(frozen=True)
class Context:
    """An execution context: one Python process on one cluster."""

    workspace: Workspace
    cluster: Cluster
    context_id: str

    def is_running(self) -> bool:
        """Tell whether the context still exists and accepts commands.

        Raises:
            WorkspaceError: The service failed or is busy, so the context's state is unknown.
        """
        try:
            return self._status() == "Running"
        except WorkspaceError as error:
            if is_transient(error):
                raise
            # The context was evicted, or the cluster restarted; the message is not documented.
            return False

    def wait(self) -> None:
        """Wait until the context accepts commands.

        Raises:
            ComputeError: It failed to start, or took too long.
        """
        deadline = time.monotonic() + _CONTEXT_SECONDS
        backoff = Backoff()
        while (status := self._status()) != "Running":
            if status == "Error" or time.monotonic() > deadline:
                raise ComputeError(
                    f"The Python process on the cluster {self.cluster.name} did not start (status {status}).",
                    hint="See server.log in the folder that `kedro databricks sandbox status` shows."
                    if self.workspace.is_local
                    else "See the cluster's driver log, or restart the cluster.",
                )
            backoff.sleep()

    def start(self, text: str) -> str:
        """Start a command and return its id."""
        from databricks.sdk.service.compute import Language

        with translated(f"start a command on the cluster {self.cluster.name}"):
            wait = self.workspace.client.command_execution.execute(
                cluster_id=self.cluster.cluster_id,
                context_id=self.context_id,
                language=Language.PYTHON,
                command=text,
            )
        return str(cast("Any", wait.response).id)

    def result(self, command_id: str) -> CommandResult:
        """Return a command's current state and result."""
        with translated(f"get the status of a command on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.command_status(
                self.cluster.cluster_id, self.context_id, command_id
            )
        return _result(answer)

    def run(self, text: str) -> CommandResult:
        """Run a command and wait for its result."""
        command_id = self.start(text)
        backoff = Backoff()
        while not (result := self.result(command_id)).ended:
            backoff.sleep()
        return result

    def cancel(self, command_id: str) -> None:
        """Request that a command be interrupted."""
        with translated(f"cancel the command on the cluster {self.cluster.name}"):
            self.workspace.client.command_execution.cancel(
                cluster_id=self.cluster.cluster_id, context_id=self.context_id, command_id=command_id
            )

    def cluster_ended(self) -> str:
        """Return why the cluster is not running; empty if it is, or if its state is unknown."""
        with contextlib.suppress(HybridError), translated("get the state of the cluster"):
            found = self.workspace.client.clusters.get(self.cluster.cluster_id)
            state = found.state.value if found.state else "RUNNING"
            reason = found.termination_reason.code if found.termination_reason else None
            if state != "RUNNING":
                why = f" ({reason.value})" if reason else ""
                return f"the cluster {self.cluster.name} is {state.lower()}{why}"
        return ""

    def destroy(self) -> None:
        """End the context; it is no error if it does not exist any more."""
        try:
            with translated("end the execution context"):
                self.workspace.client.command_execution.destroy(self.cluster.cluster_id, self.context_id)
        except HybridError:
            pass

    @contextlib.contextmanager
    def destroyed_on_error(self) -> Iterator[None]:
        """End the context if the block fails or is interrupted, as nothing else would."""
        try:
            yield
        except BaseException:
            self.destroy()
            raise

    def _status(self) -> str:
        with translated(f"get the status of the execution context on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.context_status(
                self.cluster.cluster_id, self.context_id
            )
        return answer.status.value if answer.status else "Error"


@dataclass(frozen=True)
class CommandResult:
    """A command's state: whether it ended, whether it succeeded, and its output or error."""

    ended: bool
    succeeded: bool
    text: str


def create_context(workspace: Workspace, cluster: Cluster) -> Context:
    """Create a context and wait until it accepts commands; a context that fails to start is removed.

    Raises:
        ComputeError: It did not start.
        WorkspaceError: Databricks refused to create it.
    """
    from databricks.sdk.service.compute import Language

    with translated(f"start a Python process on the cluster {cluster.name}"):
        wait = workspace.client.command_execution.create(
            cluster_id=cluster.cluster_id, language=Language.PYTHON
        )
    context = Context(workspace, cluster, str(cast("Any", wait.response).id))
    with context.destroyed_on_error():
        context.wait()
    return context


def _result(answer: CommandStatusResponse) -> CommandResult:
    status = answer.status.value if answer.status else "Error"
    results = answer.results
    kind = results.result_type.value if results and results.result_type else "text"
    if kind == "error" and results:
        text = results.cause or results.summary or "no reason given"
    else:
        text = str(results.data) if results and results.data is not None else ""
    ended = status in {"Finished", "Error", "Cancelled"}
    return CommandResult(ended, ended and status == "Finished" and kind != "error", text)


@dataclass(frozen=True)
class CommandWork:
    """A command in an execution context.

    Args:
        context: The execution context.
        command_id: The command; empty if its id was not recorded.
    """

    context: Context
    command_id: str

    def ending(self) -> Ending | None:
        """Return how the command ended; a lost context counts as its end."""
        try:
            result = self.context.result(self.command_id)
        except WorkspaceError as error:  # the context was evicted or its cluster terminated
            if is_transient(error):
                raise
            return self._died(error.message)
        return self._died(result.text) if result.ended else None

    def cancel(self) -> None:
        """Interrupt the command."""
        self.context.cancel(self.command_id)

    def abandon(self) -> None:
        """End the Python process.

        Raises:
            ComputeError: It is still running.
        """
        self.context.destroy()
        if self.ending() is None:
            raise ComputeError(f"The Python process on the cluster {self.context.cluster.name} did not end.")

    def _died(self, output: str) -> Ending:
        """Describe the end by the command's output and the cluster's state."""
        reason = self.context.cluster_ended()
        hint = _RUN_AGAIN
        if not reason and follow.is_out_of_memory(output):
            reason, hint = follow.OUT_OF_MEMORY, follow.OUT_OF_MEMORY_HINT
        return Ending("failed", f"{_DIED}{f': {reason}' if reason else ''}.", output, hint)


def start_in_context(context: Context, request: RunRequest, tree: RemoteTree) -> Started:
    """Start a run in a context."""
    command_id = context.start(request.as_command())
    started = Started(CommandWork(context, command_id), tree, request.run_id)
    started.write_info({**request.full_info, "command_id": command_id})
    return started
