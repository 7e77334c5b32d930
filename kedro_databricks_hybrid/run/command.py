"""Execution contexts and commands of API 1.2: made, waited for, cancelled."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kedro_databricks_hybrid.errors import ComputeError, HybridError, WorkspaceError
from kedro_databricks_hybrid.run.patience import is_passing
from kedro_databricks_hybrid.workspace import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databricks.sdk.service.compute import CommandStatusResponse

    from kedro_databricks_hybrid.cluster import Cluster
    from kedro_databricks_hybrid.workspace import Workspace

_CONTEXT_SECONDS = 300.0
_SHORTEST_PAUSE = 0.05
_PAUSE_AFTER_NEWS = 0.15
_LONGER = 1.35
LONGEST_PAUSE = 1.0
"""Seconds between two questions, once nothing has happened for a while."""


@dataclass(frozen=True)
class Context:
    """An execution context: one Python process on one cluster."""

    workspace: Workspace
    cluster: Cluster
    context_id: str

    def is_running(self) -> bool:
        """Tell whether the context still exists and takes commands.

        Raises:
            WorkspaceError: The service is in trouble, which says nothing of the context.
        """
        try:
            return self._status() == "Running"
        except WorkspaceError as error:
            if is_passing(error):
                raise
            # Evicted, or gone with an earlier start of the cluster; the wording is not documented.
            return False

    def wait(self) -> None:
        """Wait until the context takes commands.

        Raises:
            ComputeError: It ended in an error, or took too long.
        """
        deadline = time.monotonic() + _CONTEXT_SECONDS
        pauses = Pauses()
        while (status := self._status()) != "Running":
            if status == "Error" or time.monotonic() > deadline:
                raise ComputeError(
                    f"The Python process on the cluster {self.cluster.name} did not start (status {status}).",
                    hint="See server.log in the folder that `kedro databricks sandbox status` names."
                    if self.workspace.is_local
                    else "See the cluster's driver log, or restart the cluster.",
                )
            pauses.sleep()

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
        """Return where a command stands."""
        with translated(f"ask about a command on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.command_status(
                self.cluster.cluster_id, self.context_id, command_id
            )
        return _result(answer)

    def run(self, text: str) -> CommandResult:
        """Run a command to its end."""
        command_id = self.start(text)
        pauses = Pauses()
        while not (result := self.result(command_id)).ended:
            pauses.sleep()
        return result

    def cancel(self, command_id: str) -> None:
        """Ask for a command to be interrupted."""
        with translated(f"cancel the command on the cluster {self.cluster.name}"):
            self.workspace.client.command_execution.cancel(
                cluster_id=self.cluster.cluster_id, context_id=self.context_id, command_id=command_id
            )

    def cluster_ended(self) -> str:
        """Return why the cluster does not run; empty where it does, or cannot be asked."""
        with contextlib.suppress(HybridError), translated("ask about the cluster"):
            found = self.workspace.client.clusters.get(self.cluster.cluster_id)
            state = found.state.value if found.state else "RUNNING"
            reason = found.termination_reason.code if found.termination_reason else None
            if state != "RUNNING":
                why = f" ({reason.value})" if reason else ""
                return f"the cluster {self.cluster.name} is {state.lower()}{why}"
        return ""

    def destroy(self) -> None:
        """End the context; one that is gone already is no error."""
        try:
            with translated("end the execution context"):
                self.workspace.client.command_execution.destroy(self.cluster.cluster_id, self.context_id)
        except HybridError:
            pass

    @contextlib.contextmanager
    def destroyed_on_error(self) -> Iterator[None]:
        """End the context where what follows fails, or is interrupted: nobody would know of it."""
        try:
            yield
        except BaseException:
            self.destroy()
            raise

    def _status(self) -> str:
        with translated(f"ask about the execution context on the cluster {self.cluster.name}"):
            answer = self.workspace.client.command_execution.context_status(
                self.cluster.cluster_id, self.context_id
            )
        return answer.status.value if answer.status else "Error"


@dataclass(frozen=True)
class CommandResult:
    """Where a command stands: whether it ended, whether well, and its text or error."""

    ended: bool
    succeeded: bool
    text: str


class Pauses:
    """Short at first, then longer, so that polling is quick to notice and light on the API."""

    def __init__(self) -> None:
        self._pause = _SHORTEST_PAUSE

    def sleep(self) -> None:
        """Sleep, longer each time."""
        time.sleep(self._pause)
        self._pause = min(self._pause * _LONGER, LONGEST_PAUSE)

    def reset(self) -> None:
        """Start over: something happened, and more may follow, but hardly at once."""
        self._pause = _PAUSE_AFTER_NEWS


def create(workspace: Workspace, cluster: Cluster) -> Context:
    """Create a context and wait until it takes commands; where that fails, none is left behind.

    Raises:
        ComputeError: It did not start.
        WorkspaceError: The cluster gives no context.
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
